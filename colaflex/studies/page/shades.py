"""Shades of an objective: the better, the stronger."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Bands", "bands_of"]

_COUNT = 7


@dataclass(frozen=True, slots=True)
class Bands:
    """Shades of an objective: edges from worst to best, the stronger the better."""

    edges: tuple[float, ...]

    @property
    def shades(self) -> list[float]:
        """Opacity of each band; also of what is beyond the first and the last edge."""
        count = len(self.edges) + 1
        return [0.04 + 0.74 * place / (count - 1) for place in range(count)]

    def shade(self, value: float) -> float:
        """The opacity of a value."""
        rising = self.edges[-1] >= self.edges[0]
        beyond = sum(value >= edge if rising else value <= edge for edge in self.edges)
        return self.shades[beyond]


def bands_of(values: Sequence[float], sign: float) -> Bands | None:
    """Equal steps from a poor value to the best one; None where all values are the same."""
    known = np.array([value for value in values if math.isfinite(value)])
    if len(known) < 2 or known.min() == known.max():
        return None
    low, high = np.quantile(known, [0.15, 1.0] if sign > 0 else [0.85, 0.0])
    if low == high:
        low = known.min() if sign > 0 else known.max()
    return Bands(tuple(float(edge) for edge in np.linspace(low, high, _COUNT + 1)[:-1]))
