"""Trials that train: what they measure, what they cost, and that killed ones end the same."""

import json
import time
from pathlib import Path

import optuna
import pytest

from colaflex.spec import Spec
from colaflex.studies.arm import Arm
from colaflex.studies.objective import Attempt, Pruned
from colaflex.studies.storage.storages import open_storage
from colaflex.studies.work.limits import Limits
from colaflex.studies.work.spec_objective import SpecObjective, TrialSettings
from colaflex.studies.work.worker import Worker
from colaflex.training.interrupts import Interrupted
from colaflex.training.watcher import Watcher

METRIC = "reconstruction.token_accuracy"


def nothing(step: int, metrics: object) -> None:
    """Goes on whatever is reported."""


@pytest.fixture
def spec(tiny: Path) -> Spec:
    return Spec.load(tiny).override({"evaluation.likelihood": False})


def objective(spec: Spec, folder: Path, rungs: tuple[float, ...] = ()) -> SpecObjective:
    return SpecObjective(
        lambda attempt: spec.override(dict(attempt.point)), TrialSettings(folder, rungs)
    )


def test_a_trial_is_a_run_on_the_validation_split(
    spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLAFLEX_CACHE", str(tmp_path / "cache"))
    trials = objective(spec, tmp_path)
    first = trials(Attempt("search/0000", {"prior.schedule.loc": 0.5}), nothing)
    second = trials(Attempt("search/0001", {"prior.schedule.loc": 1.5}), nothing)
    assert (first.reused, second.reused) == (0, 1)
    assert first.stage1 == second.stage1
    assert first.flops == second.flops > 0
    saved = json.loads((tmp_path / "search/0000/result.json").read_text())
    assert saved["split"] == "validation"
    assert not (tmp_path / "search/0000/report.html").exists()
    again = trials(Attempt("search/0000", {"prior.schedule.loc": 0.5}), nothing)
    assert again.metrics == first.metrics
    test = trials(Attempt("fresh/0000", {"prior.schedule.loc": 0.5}, (0,), "test"), nothing)
    assert json.loads((tmp_path / "fresh/0000/result.json").read_text())["split"] == "test"
    assert test.flops == first.flops


def test_rungs_are_reported_and_a_pruned_trial_has_cost_less(spec: Spec, tmp_path: Path) -> None:
    seen: list[int] = []

    def watch(step: int, metrics: object) -> None:
        seen.append(step)

    whole = objective(spec, tmp_path, (0.3, 0.6))(Attempt("search/0", {}), watch)
    assert seen == [1, 2]

    def prune(step: int, metrics: object) -> None:
        time.sleep(0.3)  # as a longer evaluation would
        if step == 2:
            raise Pruned

    with pytest.raises(Pruned) as pruned:
        objective(spec, tmp_path, (0.3, 0.6))(Attempt("search/1", {}), prune)
    found = pruned.value.result
    assert found is not None
    assert 0.4 * whole.flops < found.flops < 0.8 * whole.flops
    assert found.stage1 == whole.stage1
    assert found.seconds >= 0.6
    assert METRIC in found.metrics


def test_several_seeds_are_several_runs_and_may_be_pruned_between(
    spec: Spec, tmp_path: Path
) -> None:
    trials = objective(spec, tmp_path, (0.5,))
    values: list[float] = []

    def watch(step: int, metrics: dict[str, float]) -> None:
        values.append(metrics[METRIC])

    found = trials(Attempt("search/0", {}, (0, 1, 2)), watch)
    assert len(values) == 3
    assert found.metrics[METRIC]["value"] == pytest.approx(sum(values) / 3)
    assert len(found.stage1) == 3

    def prune(step: int, metrics: object) -> None:
        raise Pruned

    with pytest.raises(Pruned) as pruned:
        trials(Attempt("search/1", {}, (0, 1, 2)), prune)
    assert pruned.value.result is not None
    assert pruned.value.result.metrics[METRIC]["value"] == values[0]


class StopsAt(Watcher):
    """A Ctrl-C in the middle of the prior's stage."""

    def __init__(self, step: int) -> None:
        self._stage, self._step = "", step

    def begin(self, stage: str, done: int, total: int) -> None:
        self._stage = stage

    def advance(self, done: int) -> None:
        if (self._stage, done) == ("prior", self._step):
            import os
            import signal

            os.kill(os.getpid(), signal.SIGINT)


def test_a_stop_in_the_last_step_of_training_stops_the_worker(spec: Spec, tmp_path: Path) -> None:
    study = optuna.create_study(storage=open_storage("journal", tmp_path))

    def work(progress: Watcher) -> tuple[str, list[str]]:
        trials = SpecObjective(lambda attempt: spec, TrialSettings(tmp_path), progress)
        arm, limits = Arm("search", tmp_path, (METRIC,)), Limits(trials=2)
        end = Worker(study, arm, lambda trial: {}, trials, limits).run()
        return end, [trial.state.name for trial in study.trials]

    assert work(StopsAt(9)) == ("interrupted", ["WAITING"])
    assert work(Watcher()) == ("trials", ["COMPLETE", "COMPLETE"])


def test_a_trial_that_was_stopped_goes_on_to_the_same_end(spec: Spec, tmp_path: Path) -> None:
    straight = objective(spec, tmp_path / "straight", (0.3,))(Attempt("search/0", {}), nothing)
    settings = TrialSettings(tmp_path / "stopped", (0.3,))
    stopped = SpecObjective(lambda attempt: spec, settings, StopsAt(5))
    with pytest.raises(Interrupted):
        stopped(Attempt("search/0", {}), nothing)
    resumed = objective(spec, tmp_path / "stopped", (0.3,))(Attempt("search/0", {}), nothing)
    same = [name for name in straight.metrics if name.startswith(("recon", "generation"))]
    assert {n: resumed.metrics[n] for n in same} == {n: straight.metrics[n] for n in same}
    assert resumed.flops == straight.flops
