"""Starting distributions: where the first trials are drawn."""

from __future__ import annotations

import math

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import ValidationError
from scipy import stats
from spaces import CONDITIONAL, KNOBS, loss, run

from colaflex.studies.sampling.sampler_options import Named
from colaflex.studies.sampling.samplers import SAMPLERS, build_sampler
from colaflex.studies.sampling.start import Centre, Start, starting_point
from colaflex.studies.space.parameters import Parameter
from colaflex.studies.space.space import Space

LAW = Start(centres={"loc": Centre(at=1, slope=0.5, of="dim", reference=16, spread=0.5)})


def test_loc_is_normal_around_the_law_and_cut_to_its_range() -> None:
    points = [starting_point(KNOBS, LAW, 0, number) for number in range(768)]
    for dim in (4, 16, 64):
        locs = [float(point["loc"]) for point in points if point["dim"] == dim]
        assert abs(len(locs) - 256) <= 3  # choices are covered evenly
        centre = 1 + 0.5 * math.log(dim / 16)
        ends = (-1 - centre) / 0.5, (3 - centre) / 0.5
        expected = stats.truncnorm(*ends, loc=centre, scale=0.5)
        assert stats.kstest(locs, expected.cdf).pvalue > 0.05
    widths = np.log([float(point["width"]) for point in points])
    assert stats.kstest(widths, stats.uniform(math.log(0.01), math.log(1000)).cdf).pvalue > 0.05


def test_few_trials_cover_the_space() -> None:
    for seed in range(20):
        points = [starting_point(KNOBS, LAW, seed, number) for number in range(8)]
        assert {point["dim"] for point in points} == {4, 16, 64}
        widths = sorted(math.log10(float(point["width"])) for point in points)
        # Sobol: one in every eighth of the range, by its logarithm
        assert [int((width + 2) / 3 * 8) for width in widths] == list(range(8))


@pytest.mark.parametrize("at", [-50.0, 50.0])
def test_a_centre_far_outside_gives_values_at_the_end(at: float) -> None:
    start = Start(centres={"loc": Centre(at=at, spread=0.1)})
    locs = [float(starting_point(KNOBS, start, 0, number)["loc"]) for number in range(16)]
    end = -1 if at < 0 else 3
    assert all(-1 <= loc <= 3 and abs(loc - end) < 0.01 for loc in locs)


def test_integers_and_steps_are_kept_and_parts_without_a_meaning_left_out() -> None:
    space = Space(
        (
            Parameter("dim", "dim", CategoricalDistribution((4, 16, 64))),
            Parameter("loc", "loc", FloatDistribution(-1, 3, step=0.25)),
            Parameter("layers", "layers", IntDistribution(1, 9)),
        )
    )
    centres = {**LAW.centres, "layers": Centre(at=6, spread=0.3)}
    points = [starting_point(space, Start(centres=centres), 0, number) for number in range(64)]
    assert all(float(point["loc"]) % 0.25 == 0 for point in points)
    assert {point["layers"] for point in points} <= {5, 6, 7}
    assert all(isinstance(point["layers"], int) for point in points)
    some = [starting_point(CONDITIONAL, Start(), 0, number) for number in range(16)]
    assert {"prior.loc" in point for point in some} == {True, False}
    assert all(("prior.loc" in point) == (point["prior"] == "flow") for point in some)


@pytest.mark.parametrize("name", [n for n in SAMPLERS if n not in ("gp", "grid", "one_at_a_time")])
def test_every_sampler_takes_over_after_the_start(name: str) -> None:
    start = LAW.model_copy(update={"trials": 5})
    study = optuna.create_study(sampler=build_sampler(Named(type=name), KNOBS, ["lower"], 3, start))
    points = run(study, KNOBS, 8)
    drawn = [starting_point(KNOBS, start, 3, number) for number in range(8)]
    assert points[:5] == drawn[:5]
    assert all(points[number] != drawn[number] for number in range(5, 8))


def test_trials_that_failed_do_not_count() -> None:
    start = LAW.model_copy(update={"trials": 3})
    study = optuna.create_study(
        sampler=build_sampler(Named(type="tpe"), KNOBS, ["lower"], 0, start)
    )
    for number in range(6):
        trial = study.ask()
        assert KNOBS.suggest(trial) == starting_point(KNOBS, start, 0, number)
        if number % 2:
            study.tell(trial, 1.0)
        else:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
    assert KNOBS.suggest(study.ask()) != starting_point(KNOBS, start, 0, 6)


def test_starting_trials_are_the_first_population() -> None:
    start = LAW.model_copy(update={"trials": 6})
    named = Named(type="nsga2", options={"population_size": 6, "mutation_prob": 0.0})
    study = optuna.create_study(sampler=build_sampler(named, KNOBS, ["lower"], 0, start))
    points = run(study, KNOBS, 12)
    dims = {(point["dim"], point["width"]) for point in points[:6]}
    # children take every value from one of two parents of the start
    assert all(p["width"] in {width for _, width in dims} for p in points[6:])


def test_a_start_near_the_truth_is_a_better_start() -> None:
    def first(start: Start | None) -> list[float]:
        found = []
        for seed in range(20):
            sampler = build_sampler(Named(type="tpe"), KNOBS, ["lower"], seed, start)
            study = optuna.create_study(sampler=sampler)
            found.append(min(loss(point) for point in run(study, KNOBS, 8)))
        return found

    law = Start(
        centres={"loc": Centre(at=math.log(4), slope=0.5, of="dim", reference=16, spread=0.25)}
    )
    assert np.mean(first(law)) < np.mean(first(None))


def test_what_a_start_says_is_checked() -> None:
    for wrong in ({"spread": 0}, {"reference": 0}, {"at": float("nan")}, {"slop": 1}):
        with pytest.raises(ValidationError):
            Centre(**{"at": 1.0, **wrong})  # type: ignore[arg-type]
