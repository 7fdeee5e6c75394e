"""Is the best value of a setting the same in all categories of another?"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from colaflex.statistics.intervals import Floats
from colaflex.studies.explanation.bell import Fit, Grid
from colaflex.studies.explanation.slope import redrawn

__all__ = ["p_same_centre"]

RESAMPLES = 300
LEAST = 3
"""Trials in a category for it to count."""


def p_same_centre(
    x: Floats,
    y: Floats,
    effects: Floats,
    groups: NDArray[np.intp],
    fit: Fit,
    ends: tuple[float, float],
    seed: int,
) -> float:
    """The p-value of bells that have the same centre in all categories, whatever their heights.

    The statistic is the gain of centres of their own, over what they leave; its distribution is
    that of the common bell's wild bootstrap.

    Args:
        x: (n,) the setting.
        y: (n,) what was measured; more is better.
        effects: (n,) of other settings.
        groups: (n,) the category of each.
        fit: the common bell.
        ends: of the range of x.
        seed: of the resampling.
    """
    grid = Grid.over(*ends, 1.0)
    within = [groups == group for group in np.unique(groups)]
    within = [here for here in within if here.sum() >= LEAST]
    if len(within) < 2:
        return math.nan

    def statistic(columns: Floats) -> Floats:
        common, separate = [], []
        for width in grid.widths:
            gains = [_gains(x[here], columns[here], width, grid.centres) for here in within]
            common.append(np.sum(gains, axis=0).max(0))
            separate.append(np.sum([gain.max(0) for gain in gains], axis=0))
        squares = np.sum([_squares(columns[here]) for here in within], axis=0)
        best = np.max(separate, axis=0)
        return np.asarray(
            (best - np.max(common, axis=0)) / np.maximum(squares - best, 1e-12 * squares)
        )

    drawn = redrawn(fit, y, np.random.default_rng(seed), RESAMPLES) - effects[:, None]
    measured = float(statistic((y - effects)[:, None])[0])
    return (1 + int((statistic(drawn) >= measured).sum())) / (1 + RESAMPLES)


def _squares(columns: Floats) -> Floats:
    return np.asarray(((columns - columns.mean(0)) ** 2).sum(0))


def _gains(x: Floats, columns: Floats, width: float, centres: Floats) -> Floats:
    """(centres, columns): by how much a bell of its own lowers the sums of squares."""
    bells = np.exp(-0.5 * ((x - centres[:, None]) / width) ** 2)
    bells -= bells.mean(1, keepdims=True)
    norms = np.sqrt(np.maximum((bells**2).sum(1, keepdims=True), 1e-6))
    along = bells @ (columns - columns.mean(0)) / norms
    return np.asarray(np.maximum(along, 0) ** 2)
