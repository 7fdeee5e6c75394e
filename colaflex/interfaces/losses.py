"""Loss terms: sums with their units, so that any split of a batch adds up to the whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from colaflex.interfaces.one_line import one_line

__all__ = ["Counts", "LossTerm", "Losses", "Unit"]

Unit = Literal["tokens", "latents", "rows"]
Counts = Mapping[Unit, int]


@dataclass(frozen=True, slots=True)
class LossTerm:
    """One term of a loss: a sum over positions, divided later by the batch's count of `per`.

    The divisor depends on the batch alone, never on a random draw, so that gradient accumulation
    and several processes give exactly what one large batch gives. A term over a random part of the
    positions scales its sum by the inverse of the expected share.

    Attributes:
        total: scalar, the sum (differentiable).
        per: what the sum is averaged over.
        weight: factor in the objective; 0 for a term that is only reported.

    Example:
        >>> error = torch.ones(4, 6)  # (batch, latents)
        >>> LossTerm(error.sum(), per="latents", weight=0.1)
        LossTerm(total tensor(24.), per 'latents', weight 0.1)
    """

    total: Tensor
    per: Unit
    weight: float = 1.0

    __repr__ = one_line


Losses = Mapping[str, LossTerm]
