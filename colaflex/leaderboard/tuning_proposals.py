"""What a search tries next: a pure function of its space, its seed and its trials so far."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import optuna
from optuna.trial import TrialState, create_trial

from colaflex.files.problems import SpecError
from colaflex.leaderboard.tuning_plan import TuningPlan, sampling_settings, spec_settings
from colaflex.leaderboard.tuning_space import RowSpace
from colaflex.metrics.rank import Direction
from colaflex.statistics.draws import keyed_rng
from colaflex.studies.objective import Point, Value
from colaflex.studies.sampling.sampler_options import Named
from colaflex.studies.sampling.samplers import build_sampler
from colaflex.studies.sampling.start import Start
from colaflex.studies.space.parameters import Parameter
from colaflex.studies.space.value_places import value_at

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Proposal", "Tried", "further_samplings", "propose"]

SPREAD = 6
"""So many trials take values spread evenly over the space, before the sampler goes by results."""
AGAIN = 20
"""Draws until one is new, and can be run."""
optuna.logging.set_verbosity(optuna.logging.ERROR)


@dataclass(frozen=True, slots=True)
class Proposal:
    """What is tried: a point of the search, and what it sets over the row's own recipe."""

    point: Point
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tried:
    """A proposal that was tried, and what it came to; None where it failed."""

    proposal: Proposal
    value: float | None


def propose(
    space: RowSpace, plan: TuningPlan, tried: Sequence[Tried], better: Direction
) -> Proposal:
    """The next proposal of a search: the best so far with some parameters as the sampler says.

    Args:
        space: of the row.
        plan: of the board's tuning.
        tried: all before, in their order, the row's own recipe first.
        better: which values are.

    Returns:
        A proposal that was not tried and that the row takes, unless none that is drawn is.
    """
    direction: Literal["maximize", "minimize"] = "maximize" if better == "higher" else "minimize"
    start = Start(trials=SPREAD * plan.samplings)
    sampler = build_sampler(Named(type="tpe"), space.space, [direction], plan.seed, start)
    study = optuna.create_study(sampler=sampler, direction=direction)
    for one in tried:
        study.add_trial(_ended(space, one))
    best, known = _best(tried, better), [dict(one.proposal.point) for one in tried]
    for _ in range(AGAIN):
        trial = study.ask()
        rng = keyed_rng("changes", plan.seed, trial.number)
        drawn = space.space.suggest(trial)
        proposal = _changed(space, best, drawn, space.space.parameters, plan.changes, rng)
        if dict(proposal.point) not in known and _takes(space, proposal.settings):
            break
        study.tell(trial, state=TrialState.FAIL)
    return proposal


def further_samplings(
    space: RowSpace, plan: TuningPlan, number: int, first: Proposal
) -> Iterator[Proposal]:
    """Other settings of sampling for a trial's trained model, drawn evenly; there may be fewer.

    Args:
        space: of the row.
        plan: of the board's tuning.
        number: of the trial.
        first: what it is trained, and sampled, by.
    """
    seen = [dict(first.point)]
    rng = keyed_rng("samplings", plan.seed, number)
    for _ in range(AGAIN * plan.samplings if space.sampling else 0):
        if len(seen) >= plan.samplings:
            return
        drawn = {one.path: value_at(one.distribution, rng.random()) for one in space.sampling}
        proposal = _changed(
            space, first, {**first.point, **drawn}, space.sampling, plan.changes, rng
        )
        if dict(proposal.point) in seen or not _takes(space, sampling_settings(proposal.settings)):
            continue
        seen.append(dict(proposal.point))
        yield proposal


def _ended(space: RowSpace, one: Tried) -> optuna.trial.FrozenTrial:
    """What was tried, as the sampler knows it."""
    params = space.space.params(one.proposal.point)
    spreads = {each.name: each.distribution for each in space.space.parameters}
    return create_trial(
        state=TrialState.FAIL if one.value is None else TrialState.COMPLETE,
        params=params,
        distributions={name: spreads[name] for name in params},
        value=one.value,
    )


def _best(tried: Sequence[Tried], better: Direction) -> Proposal:
    """The first of the best so far; the row's own recipe where all have failed."""
    sign = 1.0 if better == "higher" else -1.0
    values = [-math.inf if one.value is None else sign * one.value for one in tried]
    return tried[values.index(max(values))].proposal


def _changed(
    space: RowSpace,
    best: Proposal,
    drawn: Point,
    parameters: Sequence[Parameter],
    changes: int | None,
    rng: np.random.Generator,
) -> Proposal:
    """A proposal with so many parameters, by chance, as they were drawn; None: with all of them."""
    paths = list(dict.fromkeys(parameter.path for parameter in parameters))
    count = len(paths) if changes is None else min(changes, len(paths))
    chosen = {paths[index] for index in rng.permutation(len(paths))[:count]}
    point: dict[str, Value] = {}
    for parameter in space.space.parameters:
        path = parameter.path
        if parameter.active(point):
            known = path in best.point and path not in chosen
            point[path] = best.point[path] if known else drawn.get(path, parameter.nearest(None))
    kept = {path: value for path, value in best.settings.items() if path in point}
    new = {p: v for p, v in space.settings(point).items() if p in chosen or p not in best.point}
    return Proposal(point, {**kept, **new})


def _takes(space: RowSpace, settings: Mapping[str, Any]) -> bool:
    """Whether a row can be run so."""
    try:
        space.spec.override(spec_settings(settings))
    except SpecError:
        return False
    return True
