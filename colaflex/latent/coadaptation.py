"""How representation and prior learn together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Protocol

from colaflex.interfaces.prior import PriorPhase

__all__ = ["Coadaptation"]


class _Gate(Protocol):
    def value(self, progress: float) -> float: ...


@dataclass(frozen=True)
class Coadaptation:
    """How representation and prior learn together in stage 2.

    Attributes:
        regime: joint, frozen, interval or scratch (no stage 1).
        lr_ratio: the representation's learning rate as a share of the prior's.
        gate: how much of the prior's gradient reaches the encoder, by progress in [0, 1].
        interval: (joint steps, frozen steps) of a cycle of regime "interval".
        representation_weight: of the representation's losses in stage 2.
        prior_weight: of the prior's loss.
        reference_kl: weight of KL(q || q at the end of stage 1), per latent.
        teacher_fraction: share of stage 2 in which a prior trains its own teacher.
        prompt_rows: share of stage 2's rows in which a boundary is forced, as a prompt's end does.
    """

    regime: Literal["joint", "frozen", "interval", "scratch"] = "joint"
    lr_ratio: float = 1.0
    gate: _Gate | None = None
    interval: tuple[int, int] = (1, 0)
    representation_weight: float = 1.0
    prior_weight: float = 1.0
    reference_kl: float = 0.0
    teacher_fraction: float = 0.5
    prompt_rows: float = 0.1

    def during(self, phase: PriorPhase) -> Coadaptation:
        """The plan for a phase of the prior: the representation rests while the prior is taught.

        What a teacher says holds of the latents that it has learned, and of no others.
        """
        return replace(self, regime="frozen") if phase.representation_rests else self

    def representation_learns(self, step: int) -> bool:
        """Whether the representation takes part in a step of stage 2."""
        if self.regime == "interval":
            return step % sum(self.interval) < self.interval[0]
        return self.regime != "frozen"

    @property
    def learning_share(self) -> float:
        """Share of stage 2's steps in which the representation learns."""
        if self.regime == "interval":
            return self.interval[0] / sum(self.interval)
        return 0.0 if self.regime == "frozen" else 1.0
