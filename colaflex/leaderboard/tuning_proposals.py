"""What a search tries next: a pure function of its space, its seed and its trials so far."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import optuna
from optuna.trial import TrialState, create_trial

from colaflex.files.problems import SpecError
from colaflex.leaderboard.tuning_plan import sampling_settings
from colaflex.leaderboard.tuning_space import RowSpace
from colaflex.metrics.rank import Direction
from colaflex.statistics.draws import keyed_rng
from colaflex.studies.objective import Point
from colaflex.studies.sampling.sampler_options import Named
from colaflex.studies.sampling.samplers import build_sampler
from colaflex.studies.sampling.start import Start
from colaflex.studies.space.value_places import value_at

__all__ = ["Tried", "further_samplings", "propose"]

SPREAD = 6
"""So many trials are spread evenly over the space before the sampler goes by what they came to."""
AGAIN = 20
"""Draws until one is new, and can be run."""
optuna.logging.set_verbosity(optuna.logging.ERROR)


@dataclass(frozen=True, slots=True)
class Tried:
    """A point that was tried, and what it came to; None where it failed."""

    point: Point
    value: float | None


def propose(
    space: RowSpace, seed: int, tried: Sequence[Tried], better: Direction, each: int = 1
) -> Point:
    """The next point of a search.

    Args:
        space: of the row.
        seed: of the search.
        tried: all before, in their order.
        better: which values are.
        each: settings of sampling that a trial tries.

    Returns:
        A point that was not tried, unless all that are drawn were.
    """
    direction: Literal["maximize", "minimize"] = "maximize" if better == "higher" else "minimize"
    sampler = build_sampler(
        Named(type="tpe"), space.space, [direction], seed, Start(trials=SPREAD * each)
    )
    study = optuna.create_study(sampler=sampler, direction=direction)
    for one in tried:
        params = space.space.params(one.point)
        spreads = {known.name: known.distribution for known in space.space.parameters}
        study.add_trial(
            create_trial(
                state=TrialState.FAIL if one.value is None else TrialState.COMPLETE,
                params=params,
                distributions={name: spreads[name] for name in params},
                value=one.value,
            )
        )
    known = [dict(one.point) for one in tried]
    for _ in range(AGAIN):
        trial = study.ask()
        point = space.space.suggest(trial)
        if dict(point) not in known:
            break
        study.tell(trial, state=TrialState.FAIL)
    return point


def further_samplings(
    space: RowSpace, seed: int, number: int, first: Point, settings: dict[str, object], count: int
) -> Iterator[tuple[Point, dict[str, object]]]:
    """Other settings of sampling for a trained model, drawn evenly, as points and as settings.

    Args:
        space: of the row.
        seed: of the search.
        number: of the trial.
        first: its point.
        settings: that it is trained with, over the row's own.
        count: how many; there may be fewer.
    """
    seen = [dict(first)]
    rng = keyed_rng("samplings", seed, number)
    for _ in range(AGAIN * count):
        if len(seen) > count:
            return
        drawn = {one.path: value_at(one.distribution, rng.random()) for one in space.sampling}
        point = {**first, **drawn}
        chosen = space.settings(point)
        new = {**settings, **{path: chosen[path] for path in drawn}}
        if point in seen or not _fits(space, new):
            continue
        seen.append(point)
        yield point, new


def _fits(space: RowSpace, settings: dict[str, object]) -> bool:
    """Whether the row can be sampled so."""
    try:
        space.spec.override(sampling_settings(settings))
    except SpecError:
        return False
    return True
