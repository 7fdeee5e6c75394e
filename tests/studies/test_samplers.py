"""Samplers by name: they improve, go on where they were killed, and say what is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import optuna
import pytest
from spaces import CHOICES, CONDITIONAL, KNOBS, loss, run

from colaflex.errors import UserError
from colaflex.studies.sampling.sampler_options import Named
from colaflex.studies.sampling.samplers import SAMPLERS, build_sampler, check_sampler
from colaflex.studies.sampling.start import Centre, Start
from colaflex.studies.space.space import Space
from colaflex.studies.storage.storages import open_storage

SMALL: dict[str, dict[str, Any]] = {
    "tpe": {"n_startup_trials": 4},
    "gp": {"n_startup_trials": 5},
    "cmaes": {"n_startup_trials": 2, "popsize": 4},
    "nsga2": {"population_size": 4},
    "random": {},
    "sobol": {},
    "grid": {"points": 3},
    "one_at_a_time": {"trials": 9},
}
"""Options with which a sampler's own part begins after a few trials."""
QUICK = [name for name in SAMPLERS if name != "gp"]
START = Start(trials=3, centres={"loc": Centre(at=1, slope=0.5, of="dim", reference=16)})


def built(name: str, space: Space, start: Start | None = None, seed: int = 0) -> Any:
    named = Named(type=name, options=SMALL[name])
    return build_sampler(named, space, ["lower"], seed, start, {"dim": 16, "loc": 1.0})


def test_all_are_tried_here() -> None:
    assert SMALL.keys() == SAMPLERS.keys()


@pytest.mark.parametrize(
    ("name", "start"),
    [*((name, None) for name in SAMPLERS), *((name, START) for name in QUICK)],
    ids=lambda part: part if isinstance(part, str) else ("after a start" if part else "alone"),
)
def test_a_study_that_was_stopped_goes_on_as_if_it_had_not_been(
    name: str, start: Start | None
) -> None:
    whole = optuna.create_study(sampler=built(name, KNOBS, start))
    expected = run(whole, KNOBS, 9)
    assert len({str(point) for point in expected}) == 9

    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(sampler=built(name, KNOBS, start), storage=storage, study_name="s")
    run(study, KNOBS, 5)
    killed = study.ask()  # it has said what it tries, not what came of it
    point = KNOBS.suggest(killed)
    for number in (6, 8, 9):
        study = optuna.load_study(
            study_name="s", storage=storage, sampler=built(name, KNOBS, start)
        )
        if killed is not None:
            again = optuna.Trial(study, killed._trial_id)
            assert KNOBS.suggest(again) == point
            study.tell(again, loss(point))
            killed = None
        assert run(study, KNOBS, number) == expected[:number]


@pytest.mark.parametrize("name", QUICK)
def test_another_seed_is_another_search(name: str) -> None:
    points = [
        run(optuna.create_study(sampler=built(name, KNOBS, seed=seed)), KNOBS, 6)
        for seed in (0, 0, 1)
    ]
    assert points[0] == points[1]
    if name != "one_at_a_time":  # nothing in it is drawn
        assert points[0] != points[2]


@pytest.mark.parametrize("name", QUICK)
def test_workers_of_one_seed_never_propose_the_same(name: str) -> None:
    storage = optuna.storages.InMemoryStorage()
    optuna.create_study(storage=storage, study_name="s")
    workers = [
        optuna.load_study(study_name="s", storage=storage, sampler=built(name, KNOBS))
        for _ in range(3)
    ]
    for _ in range(4):
        trials = [worker.ask() for worker in workers]  # all at once: none has said what it tries
        points = [KNOBS.suggest(trial) for trial in trials]
        for worker, trial, point in zip(workers, trials, points, strict=True):
            worker.tell(trial, loss(point))
    assert len({str(trial.params) for trial in workers[0].trials}) == 12


@pytest.mark.parametrize("name", QUICK)
def test_knobs_come_and_go_with_components(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        study = optuna.create_study(sampler=built(name, CONDITIONAL))
        points = run(study, CONDITIONAL, 16)
    for point in points:
        own = {"prior.loc"} if point["prior"] == "flow" else {"prior.rank"}
        assert point.keys() == {"prior", "dim"} | own


@pytest.mark.parametrize(("name", "seeds"), [("tpe", 8), ("gp", 1)])
def test_a_model_finds_what_chance_does_not(name: str, seeds: int) -> None:
    mean = {}
    for each in (name, "random"):
        values = []
        for seed in range(seeds):
            sampler = build_sampler(Named(type=each), KNOBS, ["lower"], seed)
            study = optuna.create_study(sampler=sampler)
            run(study, KNOBS, 18 if name == "gp" else 30)
            values.append(study.best_value)
        mean[each] = sum(values) / seeds
    assert mean[name] < 0.6 * mean["random"]


def test_a_grid_is_gone_through_once_and_ends_the_study() -> None:
    study = optuna.create_study(sampler=built("grid", CONDITIONAL))
    study.optimize(lambda trial: loss(CONDITIONAL.suggest(trial)), n_trials=100)
    # 3 dims with 3 values of loc under one prior, and with 3 ranks under the other
    assert len({str(trial.params) for trial in study.trials}) == len(study.trials) == 18


def test_a_grid_that_is_too_large_says_what_to_lower() -> None:
    named = Named(type="grid", options={"points": 500})
    space = Space((*KNOBS.parameters[1:], CHOICES.parameters[2]))
    expected = (
        r"a grid of 500,000 points is too large \(at most 100,000\): .* `points`, 500 a range"
    )
    with pytest.raises(UserError, match=expected):
        build_sampler(named, space, ["lower"], 0)


WRONG = [
    ("tpee", {}, "unknown sampler 'tpee'; did you mean `tpe`?"),
    ("annealing", {}, "unknown sampler 'annealing'; choose from cmaes, gp, grid, nsga2"),
    ("tpe", {"multivariat": True}, "has no option 'multivariat'; did you mean `multivariate`?"),
    ("tpe", {"seed": 1}, "sampler tpe has no option 'seed'"),
    ("tpe", {"gamma": 1}, "sampler tpe has no option 'gamma'"),
    ("random", {"points": 1}, "sampler random has no option 'points'; it has none"),
    ("tpe", {"n_startup_trials": "ten"}, "n_startup_trials of sampler tpe can't be 'ten'"),
    ("tpe", {"n_startup_trials": True}, "n_startup_trials of sampler tpe can't be True"),
    ("tpe", {"n_ei_candidates": 0}, "can't be 0; expected 1 or more"),
    ("tpe", {"multivariate": 1}, "can't be 1; expected bool"),
    ("tpe", {"multivariate": False, "group": True}, "group of sampler tpe"),
    ("nsga2", {"population_size": 1}, "expected 2 or more"),
    ("nsga2", {"crossover_prob": 1.5}, "can't be 1.5; expected 1 or less"),
    ("nsga2", {"crossover_prob": float("nan")}, "can't be nan; expected 0 or more"),
    ("cmaes", {"lr_adapt": True, "with_margin": True}, "with_margin and lr_adapt"),
    ("grid", {"points": 0}, "expected 1 or more"),
    ("one_at_a_time", {"passes": 0}, "expected 1 or more"),
]


@pytest.mark.parametrize(("name", "options", "message"), WRONG, ids=lambda part: str(part)[:30])
def test_what_is_wrong_is_said_with_what_would_be_right(
    name: str, options: dict[str, Any], message: str
) -> None:
    named = Named(type=name, options=options)
    assert message in check_sampler(named)
    with pytest.raises(UserError) as error:
        build_sampler(named, KNOBS, ["lower"], 0)
    assert message in str(error.value)


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_option_that_is_offered_can_be_given(name: str) -> None:
    some = {"bool": False, "int": 2, "float": 0.5, "str": "x"}
    options = {option: some[kind.types[0]] for option, kind in SAMPLERS[name].options.items()}
    named = Named(type=name, options=options)
    assert check_sampler(named) == ""
    build_sampler(named, KNOBS, ["lower"], 0)


@pytest.mark.parametrize("name", ["cmaes", "one_at_a_time"])
def test_some_improve_one_objective_only(name: str) -> None:
    with pytest.raises(UserError, match="improves one objective, here are 2: choose tpe or nsga2"):
        build_sampler(Named(type=name), KNOBS, ["lower", "higher"], 0)


@pytest.mark.parametrize("name", ["tpe", "nsga2", "random", "sobol", "grid"])
def test_others_improve_several(name: str) -> None:
    named = Named(type=name, options=SMALL[name])
    sampler = build_sampler(named, CONDITIONAL, ["lower", "higher"], 0)
    study = optuna.create_study(sampler=sampler, directions=["minimize", "maximize"])
    for _ in range(10):
        trial = study.ask()
        point = CONDITIONAL.suggest(trial)
        study.tell(trial, [loss(point), float(point["dim"])])
    assert len(study.trials) == 10


def test_cmaes_needs_ranges_and_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="sampler cmaes moves ranges"):
        build_sampler(Named(type="cmaes"), Space(CHOICES.parameters[::2]), ["lower"], 0)
    monkeypatch.setitem(sys.modules, "cmaes", None)
    with pytest.raises(UserError, match=r"pip install cmaes, or pip install 'colaflex\[studies\]'"):
        build_sampler(Named(type="cmaes"), KNOBS, ["lower"], 0)


def test_torch_is_imported_by_a_gaussian_process_only() -> None:
    code = (
        "import sys\n"
        "import colaflex.studies.sampling.samplers, colaflex.studies.sampling.pruners\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


CHILD = """
import os, signal, sys
from pathlib import Path
import optuna
from spaces import KNOBS, loss
from test_samplers import START, built
from colaflex.studies.storage.storages import open_storage
sampler = built("tpe", KNOBS, START)
study = optuna.load_study(
    study_name="s", storage=open_storage("journal", Path(sys.argv[1])), sampler=sampler
)
while True:
    trial = study.ask()
    point = KNOBS.suggest(trial)
    if trial.number == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    study.tell(trial, loss(point))
"""


def test_a_process_that_was_killed_is_followed_by_one_that_proposes_the_same(
    tmp_path: Path,
) -> None:
    expected = run(optuna.create_study(sampler=built("tpe", KNOBS, START)), KNOBS, 14)
    storage = open_storage("journal", tmp_path)
    optuna.create_study(study_name="s", storage=storage)
    here = str(Path(__file__).parent)
    path = os.pathsep.join([here, *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path), "8"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -9, done.stderr
    study = optuna.load_study(
        study_name="s",
        storage=open_storage("journal", tmp_path),
        sampler=built("tpe", KNOBS, START),
    )
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 8 + ["RUNNING"]
    again = optuna.Trial(study, study.trials[8]._trial_id)
    study.tell(again, loss(KNOBS.suggest(again)))
    assert run(study, KNOBS, 14) == expected
