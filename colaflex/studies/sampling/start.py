"""What is known before a study: where its first trials are drawn, which Optuna can't be told."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import TrialState
from pydantic import Field

from colaflex.spec.training import Section
from colaflex.statistics.draws import keyed_rng
from colaflex.studies.objective import Point, Value
from colaflex.studies.sampling.per_trial import WrappedSampler
from colaflex.studies.space.value_places import value_at

if TYPE_CHECKING:
    import optuna

    from colaflex.studies.space.parameters import Parameter
    from colaflex.studies.space.space import Space

__all__ = ["Centre", "Start", "StartingSampler", "starting_point"]

FAR = 1e6


class Centre(Section):
    """Where a knob's best value is expected: normal around at + slope * ln(of / reference)."""

    at: float = Field(..., ge=-FAR, le=FAR, description="Its centre, at the reference.")
    slope: float = Field(
        0.0, ge=-FAR, le=FAR, description="By how much the centre moves per unit of ln(of)."
    )
    of: str | None = Field(
        None, max_length=200, description="Searched key that the centre moves with; null: none."
    )
    reference: float = Field(1.0, gt=0, le=FAR, description="Value of that key at the centre.")
    spread: float = Field(0.5, gt=0, le=FAR, description="Standard deviation around the centre.")

    def given(self, point: Point) -> float:
        """The centre, given the values drawn so far; without `of` among them, `at`."""
        value = point.get(self.of) if self.of is not None else None
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            return self.at + self.slope * math.log(value / self.reference)
        return self.at


class Start(Section):
    """The starting distribution of a search."""

    trials: int = Field(
        10, ge=1, le=10_000, description="Trials that end before the sampler takes over."
    )
    centres: dict[str, Centre] = Field(
        {}, description="Where the best values are expected, by key path."
    )


def starting_point(space: Space, start: Start, seed: int, number: int) -> Point:
    """The starting trial of that number: even over the space, but for the knobs with a centre.

    The places are those of a scrambled Sobol sequence over all parameters, so that few trials cover
    the space; a knob with a centre has the value at its place in the normal distribution around it,
    cut to the range. It is drawn after the others, given their values.
    """
    from scipy.stats import qmc

    sequence = qmc.Sobol(len(space.parameters), scramble=True, rng=keyed_rng("start", seed))
    if number:
        sequence.fast_forward(number)
    places = dict(zip(space.parameters, sequence.random(1)[0].tolist(), strict=True))
    point: dict[str, Value] = {}
    for parameter in sorted(space.parameters, key=lambda each: each.path in start.centres):
        if not parameter.active(point):
            continue
        centre = start.centres.get(parameter.path) if parameter.is_range else None
        if centre is None:
            point[parameter.path] = value_at(parameter.distribution, places[parameter])
        else:
            mean = centre.given(point)
            point[parameter.path] = _around(parameter, mean, centre.spread, places[parameter])
    return point


def _around(parameter: Parameter, mean: float, spread: float, place: float) -> Value:
    """The value at a place of a normal distribution, cut to what the parameter can be."""
    from scipy.stats import truncnorm

    distribution: Any = parameter.distribution
    low, high = ((end - mean) / spread for end in (distribution.low, distribution.high))
    return parameter.nearest(mean + spread * float(truncnorm.ppf(place, low, high)))


class StartingSampler(WrappedSampler):
    """Draws from a starting distribution until enough trials have ended, then asks another sampler.

    A starting trial depends on the seed and its number only. The other sampler is asked all along,
    since it may note in the storage what it needs later; its answers are not used before its time.

    Args:
        wrapped: the other sampler.
        space: what is searched.
        start: the distribution, and for how many trials.
        seed: of the study.
    """

    def __init__(self, wrapped: BaseSampler, space: Space, start: Start, seed: int) -> None:
        super().__init__(wrapped)
        self.space, self.start, self.seed = space, start, seed
        self._paths = {parameter.name: parameter.path for parameter in space.parameters}
        self._point: Point | None = None

    def before_trial(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        """Decide whether this is a starting trial."""
        super().before_trial(study, trial)
        ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        starts = len(ended) < self.start.trials
        self._point = (
            starting_point(self.space, self.start, self.seed, trial.number) if starts else None
        )

    def sample_relative(
        self,
        study: optuna.Study,
        trial: optuna.trial.FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """What the other sampler proposes; nothing in a starting trial."""
        proposed = super().sample_relative(study, trial, search_space)
        return proposed if self._point is None else {}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: optuna.trial.FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """The starting point's value, or the other sampler's."""
        known: Mapping[str, Value] = self._point or {}
        path = self._paths.get(param_name, param_name)
        if path in known:
            value = known[path]
            if param_distribution._contains(param_distribution.to_internal_repr(value)):
                return value
        return super().sample_independent(study, trial, param_name, param_distribution)
