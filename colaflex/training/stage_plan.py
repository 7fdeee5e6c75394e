"""The plan of a stage: what its settings come to in steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from colaflex.errors import UserError
from colaflex.interfaces.stage import Stage
from colaflex.interfaces.values import TokenBatch
from colaflex.spec.training import StageSettings

__all__ = ["BatchOrder", "Schedule", "StagePlan", "learning_rate_factor", "plan_stages"]

Schedule = Literal["cosine", "wsd", "constant"]


class BatchOrder(Protocol):
    """Which rows a step sees: a pure function of the step."""

    def batch(self, step: int) -> TokenBatch:
        """The step's rows, all as wide as the widest."""
        ...  # pragma: no cover


@dataclass(frozen=True)
class StagePlan:
    """A stage with its settings and its number of steps."""

    stage: Stage
    settings: StageSettings
    steps: int

    @property
    def refits(self) -> list[int]:
        """The steps before which the stage's constants are fitted again, in order."""
        steps = {round(share * self.steps) for share in self.stage.refits}
        return sorted(step for step in steps if 0 < step < self.steps)

    def rows_of_a_share(self, shares: int) -> int:
        """Rows of one micro-batch of one process; raises UserError where they don't come out."""
        rows, rest = divmod(self.settings.batch_size, shares)
        if rest or not rows:
            nearest = max(1, round(self.settings.batch_size / shares)) * shares
            raise UserError(
                f"training.batch_size: {self.settings.batch_size} rows cannot be split evenly into "
                f"{shares} shares (processes times `accumulate`) in stage {self.stage.name}; "
                f"the nearest size that can is {nearest}"
            )
        return rows

    def learning_rate(self, step: int) -> float:
        """The learning rate of a step, before any group's ratio."""
        settings = self.settings
        return settings.learning_rate * learning_rate_factor(
            settings.lr_schedule,
            step,
            self.steps,
            warmup=min(settings.warmup_steps, self.steps // 2),
            final_ratio=settings.final_lr_ratio,
            decay_fraction=settings.decay_fraction,
        )


def plan_stages(
    stages: Sequence[Stage], settings_for: Callable[[str], StageSettings]
) -> list[StagePlan]:
    """Share out the steps: stages with the same settings divide these settings' steps.

    Args:
        stages: of a model, in order.
        settings_for: the settings by the name that a stage gives (`training.for_stage`).
    """
    plans = []
    for number, stage in enumerate(stages):
        settings = settings_for(stage.settings)
        alike = [other.settings == stage.settings for other in stages]
        whole = sum(other.share for other, same in zip(stages, alike, strict=True) if same)
        before = sum(s.share for s, a in zip(stages[:number], alike, strict=False) if a)
        # Differences of rounded sums add up to the whole.
        first, last = (
            round(settings.steps * part / whole) for part in (before, before + stage.share)
        )
        plans.append(StagePlan(stage, settings, last - first))
    return plans


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
