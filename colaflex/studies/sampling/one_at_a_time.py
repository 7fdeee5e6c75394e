"""The control of a joint search: one knob after the other, as it is done by hand.

Optuna has no such sampler.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Hashable, Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from colaflex.studies.objective import Point, Value
from colaflex.studies.sampling.plan_sampler import PlanSampler, TriedPoints
from colaflex.studies.space.value_places import all_values, even, place_of, value_at

if TYPE_CHECKING:
    from colaflex.studies.space.parameters import Parameter
    from colaflex.studies.space.space import Space

__all__ = ["OneAtATimeSampler"]

DENSE = 9
"""Values of a range without steps, where all that a plan had in mind is tried."""
AT_THE_EDGE = 0.75
"""Share of the way to the end of the values tried, beyond which the best may lie further out."""


class OneAtATimeSampler(PlanSampler):
    """Tunes one knob with all others fixed at the best so far, then the next, in order.

    It begins with a given point. The budget is split evenly over passes, and in a pass over the
    knobs: of each, so many choices or evenly spaced values of its range are tried, and the best is
    kept. Later passes look around the best, more finely each time, or further out where the best
    lay at the edge of what was tried; they go on beyond the budget, if asked, until no point is
    left. A knob without a meaning under the chosen components is left out. What is tried already is
    not tried again, and what one knob's share has no use for is left to the next ones.

    Args:
        space: what is searched.
        origin: where it begins; for knobs that have no value there, the middle of their range.
        trials: the budget.
        passes: over which it is split.
    """

    def __init__(self, space: Space, origin: Point, *, trials: int = 40, passes: int = 3) -> None:
        super().__init__(space)
        self.ends = all(parameter.is_finite for parameter in space.parameters)
        self.origin, self.trials, self.passes = origin, trials, passes

    def proposals(self, tried: TriedPoints) -> Iterator[Point]:
        """The untried points of passes without end, then all others, the nearest first."""
        walk = _Walk(self.space, self.origin, tried)
        yield from walk.visit([walk.point()])
        share = max(1, (self.trials - 1) // self.passes)
        while (yield from walk.tune(share)):
            pass
        yield from tried.new(walk.around())


class _Walk:
    """Where the walk is: the best value so far of every knob, by its name in the storage."""

    def __init__(self, space: Space, origin: Point, tried: TriedPoints) -> None:
        self._space, self._tried = space, tried
        self._best = {p.name: p.nearest(origin.get(p.path)) for p in space.parameters}
        self._seen: set[Hashable] = set()
        self._reach: dict[str, float] = {}
        """How far around the best a range is searched, as a share of it; unknown: all of it."""

    def point(self, changes: dict[str, Value] | None = None) -> Point:
        """The point of the best values with some others."""
        values, point = {**self._best, **(changes or {})}, dict[str, Value]()
        for parameter in self._space.parameters:
            if parameter.active(point):
                point[parameter.path] = values[parameter.name]
        return point

    def visit(self, points: Iterable[Point]) -> Generator[Point, None, int]:
        """Go over points: gives those that nobody tried, returns how many are new to the walk."""
        count = 0
        for point in points:
            key = self._tried.key(point)
            if key not in self._seen:
                self._seen.add(key)
                count += 1
                yield from self._tried.new([point])
        return count

    def tune(self, budget: int) -> Generator[Point, None, int]:
        """One pass; gives its untried points, returns how many are new to the walk."""
        left, visited = budget, set[str]()
        while (parameter := self._next(visited)) is not None:
            waiting = [p for p in self._active() if p.name not in visited]
            visited.add(parameter.name)
            count = max(1, left // len(waiting))
            values = self._values(parameter, count)
            points = [self.point({parameter.name: value}) for value in values]
            left -= yield from self.visit(points)
            self._keep(parameter, values)
        return budget - left

    def _active(self) -> list[Parameter]:
        point = self.point()
        return [p for p in self._space.parameters if p.active(point)]

    def _next(self, visited: set[str]) -> Parameter | None:
        return next((p for p in self._active() if p.name not in visited), None)

    def _values(self, parameter: Parameter, count: int) -> list[Value]:
        """What is tried of a knob besides its best value."""
        best, distribution = self._best[parameter.name], parameter.distribution
        reach = self._reach.get(parameter.name)
        if not parameter.is_range:
            others = [v for v in all_values(distribution, count) if v != best]
            if len(others) <= count:
                return others
            if reach is None:
                picked = np.linspace(0, len(others) - 1, count).round().astype(int)
                return [others[index] for index in dict.fromkeys(picked.tolist())]
            here = place_of(distribution, best)
            near = sorted(others, key=lambda v: abs(place_of(distribution, v) - here))
            return near[:count]
        if reach is None:
            return [value for value in even(distribution, count) if value != best]
        here, halves = place_of(distribution, best), max(1, count // 2)
        steps = [reach * (index + 1) / halves for index in range(halves)]
        places = [here + sign * step for step in reversed(steps) for sign in (-1, 1)]
        inside = [min(max(place, 0.0), 1.0) for place in places]
        values = dict.fromkeys(value_at(distribution, place) for place in inside)
        return [value for value in values if value != best]

    def _keep(self, parameter: Parameter, values: list[Value]) -> None:
        """Take the best of the values, if it is better than what there was."""
        old = self._best[parameter.name]
        new = max([old, *values], key=lambda v: self._tried.value(self.point({parameter.name: v})))
        self._best[parameter.name] = new
        count, reach = len(values), self._reach.get(parameter.name)
        if reach is None:
            self._reach[parameter.name] = 1 / max(2, count - 1)
            return
        place = place_of(parameter.distribution, old)
        moved = abs(place_of(parameter.distribution, new) - place)
        finer = reach / max(2, (count + 1) // 2)
        self._reach[parameter.name] = finer if moved < AT_THE_EDGE * reach else min(1.0, 2 * reach)

    def around(self) -> Iterator[Point]:
        """All points, those first that differ from the best in the fewest knobs."""
        axes = {
            p.name: [v for v in all_values(p.distribution, DENSE) if v != self._best[p.name]]
            for p in self._space.parameters
        }
        for size in range(1, len(axes) + 1):
            for names in itertools.combinations(axes, size):
                for values in itertools.product(*(axes[name] for name in names)):
                    yield self.point(dict(zip(names, values, strict=True)))
