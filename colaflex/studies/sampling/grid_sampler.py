"""Grid search: every combination of all choices, ranges at evenly spaced values.

Optuna's grids know no keys that only some components have, its search by brute force no ranges
without steps, and workers side by side try the same point in either.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from typing import TYPE_CHECKING

from colaflex.errors import UserError
from colaflex.studies.objective import Point, Value
from colaflex.studies.sampling.plan_sampler import PlanSampler, TriedPoints
from colaflex.studies.space.value_places import all_values, even

if TYPE_CHECKING:
    from colaflex.studies.space.space import Space

__all__ = ["GridSampler"]

MOST = 100_000


class GridSampler(PlanSampler):
    """Every point of a grid once, in an order that is drawn once for the study.

    Combinations that differ only in knobs without a meaning are one point.

    Args:
        space: what is searched.
        seed: of the order.
        points: values of a range.

    Raises:
        UserError: the grid is too large.
    """

    def __init__(self, space: Space, *, seed: int, points: int = 5) -> None:
        super().__init__(space)
        axes = [
            even(p.distribution, points) if p.is_range else all_values(p.distribution, points)
            for p in space.parameters
        ]
        size = math.prod(len(axis) for axis in axes)
        if size > MOST:
            raise UserError(
                f"a grid of {size:,} points is too large (at most {MOST:,}): lower the sampler's "
                f"`points`, {points} a range now, or list fewer choices"
            )
        self._grid = list(itertools.product(*axes))
        random.Random(seed).shuffle(self._grid)

    def proposals(self, tried: TriedPoints) -> Iterator[Point]:
        """The points of the grid that were not tried."""
        return tried.new(self._point_of(values) for values in self._grid)

    def _point_of(self, values: tuple[Value, ...]) -> Point:
        point: dict[str, Value] = {}
        for parameter, value in zip(self.space.parameters, values, strict=True):
            if parameter.active(point):
                point[parameter.path] = value
        return point
