"""The best value of a setting at each level of another, each from the level's own trials."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from colaflex.statistics.intervals import Floats

__all__ = ["AtLevel", "Shape", "level_optimum"]

STEPS = 2001
_TINY = 1e-9


@dataclass(frozen=True, slots=True)
class Shape:
    """What levels share, found by the pooled fit: width and height, and the errors' variance."""

    width: float
    height: float
    variance: float


@dataclass(frozen=True, slots=True)
class AtLevel:
    """The bell at one level.

    Attributes:
        centre: of the bell.
        low: of its interval; infinite where the level's trials set no bound.
        high: of its interval.
        base: what the bell stands on.
        height: of the bell.
    """

    centre: float
    low: float
    high: float
    base: float
    height: float


def level_optimum(
    x: Floats, y: Floats, shape: Shape, low: float, high: float, worse: float
) -> AtLevel:
    """A level's bell: of the common width, and of about the common height.

    The interval holds the centres that fit hardly worse than the best.

    Args:
        x: the setting in the trials of the level.
        y: what was measured, other settings' effects taken out.
        shape: what levels share.
        low: end of the range of x.
        high: the other end.
        worse: how much worse is still "hardly", in units of the errors' variance.
    """
    reach = 0.5 * (high - low)
    centres = np.linspace(low - reach, high + reach, STEPS)
    bells = np.exp(-0.5 * ((x - centres[:, None]) / shape.width) ** 2)
    centred, rest = bells - bells.mean(1, keepdims=True), y - y.mean()
    pull = shape.variance / max(0.5 * shape.height, _TINY) ** 2
    heights = np.maximum(
        (centred @ rest + pull * shape.height) / ((centred**2).sum(1) + pull), _TINY
    )
    squares = ((rest - heights[:, None] * centred) ** 2).sum(1)
    squares += pull * (heights - shape.height) ** 2
    least = float(squares.min())
    ties = np.nonzero(squares <= least + 1e-6 * shape.variance)[0]
    best = int(ties[len(ties) // 2])
    inside = np.nonzero(squares <= least + worse * shape.variance)[0]
    first, last = max(int(inside[0]) - 1, 0), min(int(inside[-1]) + 1, STEPS - 1)
    return AtLevel(
        float(centres[best]),
        -math.inf if first == 0 else float(centres[first]),
        math.inf if last == STEPS - 1 else float(centres[last]),
        float(y.mean() - heights[best] * bells[best].mean()),
        float(heights[best]),
    )
