"""One knob at a time: the control, as good as it can be made."""

from __future__ import annotations

import math

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution
from spaces import CHOICES, CONDITIONAL, KNOBS, loss, run

from colaflex.studies.objective import Point
from colaflex.studies.sampling.one_at_a_time import OneAtATimeSampler
from colaflex.studies.space.parameters import Parameter
from colaflex.studies.space.space import Space

ORIGIN: Point = {"dim": 16, "loc": 1.0, "width": 1.0, "block": 1, "gate": False, "prior": "flow"}


def searched(space: Space, trials: int, passes: int = 2) -> optuna.Study:
    sampler = OneAtATimeSampler(space, ORIGIN, trials=trials, passes=passes)
    return optuna.create_study(sampler=sampler)


def changed(one: Point, other: Point) -> set[str]:
    return {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}


def test_it_begins_with_the_base_and_changes_one_knob_of_the_best_at_a_time() -> None:
    study = searched(KNOBS, 21, passes=1)
    points = run(study, KNOBS, 21)
    assert points[0] == {"dim": 16, "loc": 1.0, "width": 1.0}
    values = [trial.value for trial in study.trials]
    for number, point in enumerate(points[1:], 1):
        earlier = [p for p in points[:number] if len(changed(p, point)) == 1]
        assert earlier
        if number < 3:
            assert changed(points[0], point) == {"dim"}
    # dim has 2 other choices; the 18 trials that are left are split evenly
    best = points[min(range(3), key=lambda number: values[number])]
    locs = [float(p["loc"]) for p in points[3:] if changed(p, best) == {"loc"}]
    expected = [-1.0, -0.5, 0.0, 0.5, 1.5, 2.0, 2.5, 3.0]  # 1 has been tried: the base's own
    assert locs == pytest.approx(expected)
    assert points[3:11] == [{**best, "loc": loc} for loc in locs]
    # loc left one trial over: width has 10 values, of which the base's own has been tried
    best = points[min(range(11), key=lambda number: values[number])]
    assert all(changed(p, best) == {"width"} for p in points[11:20])


def separable(point: Point) -> float:
    loc, width = float(point["loc"]), float(point["width"])
    return (loc - 0.37) ** 2 + math.log(width / 0.2) ** 2 + abs(float(point["dim"]) - 64) / 100


def test_where_knobs_are_independent_it_finds_the_optimum() -> None:
    best = {}
    for budget in (10, 20, 40, 80):
        study = searched(KNOBS, budget)
        run(study, KNOBS, budget, separable)
        best[budget] = study.best_value
    assert best[10] > best[20] > best[40] > best[80]
    assert best[80] < 1e-3


def test_where_a_second_knob_moves_the_best_of_the_first_it_follows() -> None:
    # a wide ridge: one octave off costs less than it gains, so that passes climb along it
    def wide(point: Point) -> float:
        return 0.1 * (float(point["loc"]) - float(point["width"])) ** 2 - float(point["width"])

    space = Space(
        (
            Parameter("loc", "loc", FloatDistribution(0, 10)),
            Parameter("width", "width", CategoricalDistribution(tuple(range(11)))),
        )
    )
    study = optuna.create_study(
        sampler=OneAtATimeSampler(space, {"loc": 0.0, "width": 0}, trials=80, passes=4)
    )
    run(study, space, 80, wide)
    assert study.best_params["width"] == 10


def test_choices_are_not_repeated_and_all_of_them_end_the_study() -> None:
    study = searched(CHOICES, 8)
    study.optimize(lambda trial: loss(CHOICES.suggest(trial)), n_trials=1000)
    points = [CHOICES.point(trial.params) for trial in study.trials]
    assert len({str(point) for point in points}) == len(points) == 24
    assert study.best_value == 0
    run(study, CHOICES, 26)  # who asks for more gets the best again
    assert study.trials[-1].params == study.best_params


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    trials=st.integers(1, 30),
    passes=st.integers(1, 4),
    bad=st.sets(st.integers(0, 29)),
    conditional=st.booleans(),
)
def test_nothing_is_tried_twice_and_bad_points_are_left(
    trials: int, passes: int, bad: set[int], conditional: bool
) -> None:
    space = CONDITIONAL if conditional else KNOBS
    points: list[Point] = []
    storage = optuna.storages.InMemoryStorage()
    optuna.create_study(study_name="s", storage=storage)
    for number in range(trials):
        # a new sampler every time: all it knows is in the storage
        sampler = OneAtATimeSampler(space, ORIGIN, trials=trials, passes=passes)
        study = optuna.load_study(study_name="s", storage=storage, sampler=sampler)
        trial = study.ask()
        points.append(space.suggest(trial))
        if number in bad:
            state = optuna.trial.TrialState.FAIL if number % 2 else optuna.trial.TrialState.PRUNED
            study.tell(trial, state=state)
        else:
            study.tell(trial, loss(points[-1]))
    assert len({str(sorted(point.items())) for point in points}) == trials
    again = optuna.create_study(
        sampler=OneAtATimeSampler(space, ORIGIN, trials=trials, passes=passes)
    )
    if not bad:
        assert run(again, space, trials) == points


def test_a_point_that_failed_is_not_built_upon() -> None:
    study = searched(KNOBS, 21, passes=1)
    for number in range(8):
        trial = study.ask()
        point = KNOBS.suggest(trial)
        if point["dim"] == 64:  # would be the best
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(trial, loss(point))
        if number > 2:
            assert point["dim"] != 64


def test_a_component_is_changed_with_what_it_needs() -> None:
    study = searched(CONDITIONAL, 14, passes=1)
    points = run(study, CONDITIONAL, 14)
    assert points[0] == {"prior": "flow", "prior.loc": 1.0, "dim": 16}
    assert points[1] == {"prior": "gauss", "prior.rank": 2, "dim": 16}
    # gauss is better: its rank is tuned, loc has no meaning any more, then dim
    assert [p["prior.rank"] for p in points[2:4]] == [1, 3]
    assert [p["dim"] for p in points[4:6]] == [4, 64]
    assert study.best_value == 0


@pytest.mark.parametrize("workers", [2, 5])
def test_workers_share_the_plan(workers: int) -> None:
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(study_name="s", storage=storage)
    studies = [
        optuna.load_study(
            study_name="s", storage=storage, sampler=OneAtATimeSampler(KNOBS, ORIGIN, trials=40)
        )
        for _ in range(workers)
    ]
    for _ in range(40 // workers):
        trials = [each.ask() for each in studies]  # before any has said what it tries
        points = [KNOBS.suggest(trial) for trial in reversed(trials)]
        for trial, point in zip(reversed(trials), points, strict=True):
            study.tell(trial, separable(point))
    assert len({str(trial.params) for trial in study.trials}) == len(study.trials) == 40
    assert study.best_value < 0.1


def test_points_in_line_count_as_tried() -> None:
    study = searched(KNOBS, 20)
    point = {"dim": 16, "loc": 1.0, "width": 1.0}
    study.add_trial(
        optuna.trial.create_trial(
            state=optuna.trial.TrialState.WAITING, user_attrs={"point": point}
        )
    )
    taken = study.ask()  # the one in line
    assert taken.number == 0
    assert KNOBS.suggest(study.ask()) != point
