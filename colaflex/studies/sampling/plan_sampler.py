"""Samplers that follow a plan: what comes next depends on the trials in the storage alone.

Optuna has none that workers can share without trying a point twice.
"""

from __future__ import annotations

import abc
import contextlib
import math
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from optuna.samplers import BaseSampler
from optuna.trial import TrialState

from colaflex.studies.objective import Point, Value

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

    from colaflex.studies.space.space import Space

__all__ = ["PlanSampler", "TriedPoints"]


class TriedPoints:
    """The points that were tried, and how good they are; greater is better here.

    Args:
        space: what is searched.
        trials: those of the study but for the one that asks.
        sign: 1 where a greater objective is better, -1 where a lower one is.
        asking: number of the trial that asks.
    """

    def __init__(self, space: Space, trials: Iterable[FrozenTrial], sign: int, asking: int) -> None:
        self.space, self._sign = space, sign
        self._points: dict[Hashable, Point] = {}
        self._values: dict[Hashable, list[float]] = {}
        self.undecided = 0
        """Earlier trials which run, and have not said yet with what."""
        for trial in trials:
            if trial.number != asking:
                self._count(trial, trial.number < asking)

    def _count(self, trial: FrozenTrial, earlier: bool) -> None:
        point = trial.user_attrs.get("point") or self.space.point(trial.params)
        if not all(p.path in point for p in self.space.parameters if p.active(point)):
            self.undecided += earlier and not trial.state.is_finished()
            return
        self.add(point)
        if trial.state == TrialState.COMPLETE:
            value = self._sign * trial.values[0]
            self._values.setdefault(self.key(point), []).append(value)

    def key(self, point: Point) -> Hashable:
        """The same for the same values, as the storage keeps them."""
        return tuple(
            (p.path, _rounded(point[p.path]))
            for p in self.space.parameters
            if p.active(point) and p.path in point
        )

    def __contains__(self, point: Point) -> bool:
        return self.key(point) in self._points

    def add(self, point: Point) -> None:
        """Count a point as tried."""
        self._points.setdefault(self.key(point), point)

    def new(self, points: Iterable[Point]) -> Iterator[Point]:
        """Those of the points that were not tried, which then are."""
        for point in points:
            if point not in self:
                self.add(point)
                yield point

    def value(self, point: Point) -> float:
        """Mean over its complete trials; the worst where there are none."""
        values = self._values.get(self.key(point), [])
        mean = math.fsum(values) / len(values) if values else -math.inf
        return -math.inf if math.isnan(mean) else mean

    def best(self) -> Point | None:
        """The best point; None where none is complete."""
        keys = max(self._values, key=lambda key: self.value(self._points[key]), default=None)
        return None if keys is None else self._points[keys]


def _rounded(value: Value) -> Value:
    return float(f"{value:.9g}") if isinstance(value, float) else value


class PlanSampler(BaseSampler, abc.ABC):
    """Proposes the next point of a plan that was not tried yet, whoever tried the others.

    A point that runs, waits, failed or was pruned counts as tried. When all are tried, the study is
    stopped; who asks still gets the best point again.

    Args:
        space: what is searched.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.ends = True
        """Whether there is a last point at all."""
        self._parameters = {parameter.name: parameter for parameter in space.parameters}
        self._point: Point = {}

    @abc.abstractmethod
    def proposals(self, tried: TriedPoints) -> Iterator[Point]:
        """Points that were not tried, in the order of the plan; each counts as tried once given."""

    def is_exhausted(self, study: optuna.Study) -> bool:
        """Whether every point was tried, or is one that a trial takes which has not said so yet."""
        tried = self._tried(study, len(study.get_trials(deepcopy=False)))
        left = islice(self.proposals(tried), tried.undecided, None)
        return self.ends and next(left, None) is None

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Find this trial's point.

        Trials which began earlier, and have not said yet what they try, take the next ones.
        """
        tried = self._tried(study, trial.number)
        proposal = next(islice(self.proposals(tried), tried.undecided, None), None)
        again = tried.best() or next(self.proposals(TriedPoints(self.space, (), 1, 0)))
        self._point = again if proposal is None else proposal

    def _tried(self, study: optuna.Study, asking: int) -> TriedPoints:
        sign = 1 if study.directions[0].name == "MAXIMIZE" else -1
        return TriedPoints(self.space, study.get_trials(deepcopy=False), sign, asking)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Nothing: values are given one by one."""
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Nothing: values are given one by one."""
        return {}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """The point's value."""
        parameter = self._parameters[param_name]
        return parameter.nearest(self._point.get(parameter.path))

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Stop the study when all points are tried."""
        if self.ends and next(self.proposals(self._tried(study, -1)), None) is None:
            with contextlib.suppress(RuntimeError):  # where no loop runs that could be stopped
                study.stop()
