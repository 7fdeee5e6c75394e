"""Rungs: points within a training at which somebody looks at the model, and may end it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Reached", "Rungs"]


@dataclass(frozen=True, slots=True)
class Reached:
    """A rung that training has come to.

    Attributes:
        number: of the rung, from 1.
        flops: model FLOPs so far of every stage trained here, by name.
        seconds: of training so far.
    """

    number: int
    flops: Mapping[str, int]
    seconds: float


@dataclass(frozen=True, slots=True)
class Rungs:
    """Shares of the last stage's steps, and who is called there.

    The model is in evaluation mode then, with its averaged weights where the stage keeps some;
    afterwards training goes on as if nobody had looked. A training of one process only.

    Attributes:
        shares: increasing, each within (0, 1).
        reached: called at each; what it raises ends the training.
    """

    shares: Sequence[float]
    reached: Callable[[Reached], None]

    def steps(self, total: int) -> Mapping[int, int]:
        """Step -> number of the rung; those that fall on one step, or on the last, are one."""
        found: dict[int, int] = {}
        for number, share in enumerate(self.shares, 1):
            step = max(1, round(share * total))
            if step < total:
                found.setdefault(step, number)
        return found
