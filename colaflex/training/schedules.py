"""Learning-rate schedules: pure functions of the step."""

from __future__ import annotations

import math
from typing import Literal

__all__ = ["Schedule", "learning_rate_factor"]

Schedule = Literal["cosine", "wsd", "constant"]


def learning_rate_factor(
    schedule: Schedule,
    step: int,
    total: int,
    *,
    warmup: int = 0,
    final_ratio: float = 0.0,
    decay_fraction: float = 0.2,
) -> float:
    """The factor on the peak learning rate at a step.

    A linear warm-up ((step + 1) / warmup) comes first. Then "cosine" falls to `final_ratio` at
    `total`, "wsd" stays at 1 and falls linearly over the last `decay_fraction` of all steps, and
    "constant" stays at 1.

    Args:
        schedule: name.
        step: from 0 to total - 1.
        total: steps of the stage.
        warmup: steps of the warm-up.
        final_ratio: factor that step `total` would have.
        decay_fraction: share of all steps over which "wsd" decays.
    """
    if step < warmup:
        return (step + 1) / warmup
    if schedule == "constant":
        return 1.0
    if schedule == "cosine":
        progress = (step - warmup) / max(1, total - warmup)
        return final_ratio + (1 - final_ratio) * 0.5 * (1 + math.cos(math.pi * progress))
    decay = decay_fraction * total
    left = min(1.0, (total - step) / decay) if decay > 0 else 1.0
    return final_ratio + (1 - final_ratio) * left
