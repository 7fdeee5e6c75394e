"""What a worker makes of limits, failures, prunes, interrupts and trials of given points."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState

from colaflex.errors import RunFailure, UserError
from colaflex.studies.arm import Arm
from colaflex.studies.objective import Attempt, Objective, Point, Report, TrialResult
from colaflex.studies.sampling.grid_sampler import GridSampler
from colaflex.studies.space.parameters import Parameter
from colaflex.studies.space.space import Space
from colaflex.studies.storage.claims import enqueue, new_trial
from colaflex.studies.storage.storages import open_storage
from colaflex.studies.trials import STATES, TrialRecord, records_of
from colaflex.studies.trials import counts as counts_of
from colaflex.studies.work.limits import Limits, minutes_spent
from colaflex.studies.work.outcome import Reports
from colaflex.studies.work.worker import Worker
from colaflex.training.interrupts import Interrupted


def suggest(trial: optuna.Trial) -> Point:
    return {"x": trial.suggest_float("x", 0.0, 1.0)}


OTHER = {"scores": {"value": 1.0}}


def counts(study: optuna.Study) -> dict[str, int]:
    return counts_of(records_of(study.get_trials(deepcopy=False)))


def found(value: float, **more: float) -> TrialResult:
    score = {"value": value, "low": value, "high": value, "n": 1}
    return TrialResult({"score": score}, stage1={"same": 5.0}, **more)


def measure(attempt: Attempt, report: Report) -> TrialResult:
    return found(float(attempt.point["x"]), flops=10.0)


def open_study(folder: Path) -> optuna.Study:
    return optuna.create_study(
        storage=open_storage("journal", folder),
        study_name="s",
        direction="maximize",
        sampler=optuna.samplers.RandomSampler(seed=0),
        pruner=optuna.pruners.ThresholdPruner(lower=0.0),
        load_if_exists=True,
    )


class Notes:
    """Events, kept."""

    def __init__(self) -> None:
        self.begun: list[Attempt] = []
        self.ends: list[TrialRecord] = []
        self.waits: list[int] = []

    def started(self, attempt: Attempt) -> None:
        self.begun.append(attempt)

    def ended(self, record: TrialRecord) -> None:
        self.ends.append(record)

    def waiting(self, running: int) -> None:
        self.waits.append(running)


def worker(
    folder: Path,
    objective: Objective = measure,
    suggests: Callable[[optuna.Trial], Point] | None = suggest,
    events: Notes | None = None,
    **limits: float,
) -> Worker:
    arm = Arm("search", folder, ("score",), seeds=(3,))
    bounds = Limits(**limits)  # type: ignore[arg-type]
    return Worker(open_study(folder), arm, suggests, objective, bounds, events)


def test_a_trial_says_all_that_was_measured(tmp_path: Path) -> None:
    notes = Notes()
    assert worker(tmp_path, events=notes, trials=2).run() == "trials"
    study = open_study(tmp_path)
    records = records_of(study.get_trials(deepcopy=False))
    assert records == notes.ends
    assert [attempt.name for attempt in notes.begun] == ["search/0000", "search/0001"]
    assert records[1].point == study.trials[1].params == notes.begun[1].point
    assert records[1].values == (records[1].point["x"],)
    assert records[1].seeds == (3,)
    assert records[1].split == "validation"
    assert (records[1].flops, records[1].stage1) == (10.0, {"same": 5.0})
    expected = {"complete": 2, "pruned": 0, "failed": 0, "running": 0, "waiting": 0}
    assert counts(study) == expected


def test_stage_one_is_paid_for_once(tmp_path: Path) -> None:
    assert worker(tmp_path, flops=26).run() == "flops"  # 5 + 10 a trial
    assert counts(open_study(tmp_path))["complete"] == 3


def test_time_is_counted_while_trials_run(tmp_path: Path) -> None:
    def slow(attempt: Attempt, report: Report) -> TrialResult:
        time.sleep(0.1)
        return found(0.5)

    assert worker(tmp_path, slow, minutes=0.25 / 60).run() == "minutes"
    assert counts(open_study(tmp_path))["complete"] in (2, 3)
    spent = minutes_spent(open_study(tmp_path).get_trials(deepcopy=False))
    time.sleep(0.2)
    assert minutes_spent(open_study(tmp_path).get_trials(deepcopy=False)) == spent


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (UserError("the width is odd"), "the width is odd"),
        (RunFailure("the loss is nan"), "the loss is nan"),
        (TypeError("no such thing"), "TypeError: no such thing (traceback in "),
        (found(float("nan")), "its score is nan, not a finite number"),
        (
            TrialResult({"scores": {"value": 1.0}}),
            "did not measure the objective 'score'; did you mean",
        ),
        (
            TrialResult(
                {"scores": {"value": 1.0}}, left_out={"score": "the tokenizer loses letters"}
            ),
            "did not measure the objective 'score', which is left out: the tokenizer loses letters",
        ),
    ],
)
def test_failures_in_a_row_end_the_search(
    tmp_path: Path, error: Exception | TrialResult, reason: str
) -> None:
    def fails(attempt: Attempt, report: Report) -> TrialResult:
        if attempt.name.endswith("0000"):
            return found(0.5)
        if isinstance(error, Exception):
            raise error
        return error

    with pytest.raises(RunFailure, match="3 trials in a row failed, the last one") as caught:
        worker(tmp_path, fails, trials=10, failures=3).run()
    assert reason in str(caught.value)
    study = open_study(tmp_path)
    assert (counts(study)["complete"], counts(study)["failed"]) == (1, 3)
    assert all(
        reason in r.reason
        for r in records_of(study.get_trials(deepcopy=False))
        if r.state == "failed"
    )
    logs = list((tmp_path / "logs").rglob("*.log"))
    assert len(logs) == (3 if isinstance(error, TypeError) else 0)
    assert all("in fails" in path.read_text() for path in logs)
    # The cause is gone: the failures of before do not count.
    assert worker(tmp_path, trials=3, failures=3).run() == "trials"


def test_prunes_are_no_failures_and_a_resumed_trial_reports_in_silence(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    steps: list[int] = []

    def interrupted(attempt: Attempt, report: Report) -> TrialResult:
        report(1, {"score": 0.5, "other": 1.0})
        report(2, {"score": 0.6})
        raise Interrupted

    def goes_on(attempt: Attempt, report: Report) -> TrialResult:
        for step, value in ((1, 0.9), (2, 0.9), (3, -1.0)):
            steps.append(step)
            report(step, {"score": value})
        raise AssertionError

    assert worker(tmp_path, interrupted, trials=1).run() == "interrupted"
    study = open_study(tmp_path)
    assert counts(study)["waiting"] == 1
    point = study.trials[0].user_attrs["point"]
    notes = Notes()
    with pytest.raises(RunFailure):
        worker(tmp_path, _first(goes_on), events=notes, trials=1, failures=1).run()
    assert steps == [1, 2, 3]
    assert notes.ends[0].state == "pruned"
    assert notes.ends[0].point == point
    assert notes.ends[0].intermediate == {1: 0.5, 2: 0.6, 3: -1.0}
    assert not [w for w in recwarn if "already reported" in str(w.message)]


def _first(objective: Objective) -> Objective:
    """Only one trial is measured; all others fail."""
    done: list[str] = []

    def once(attempt: Attempt, report: Report) -> TrialResult:
        done.append(attempt.name)
        if len(done) > 1:
            raise UserError("enough")
        return objective(attempt, report)

    return once


def test_several_objectives_prune_nothing(tmp_path: Path) -> None:
    study = optuna.create_study(directions=["minimize", "maximize"])
    report = Reports(study.ask(), ("cost.flops", "score"))
    report(1, {"cost.flops": 1.0, "score": -9.0})
    assert study.trials[0].intermediate_values == {}


def test_given_points_are_run_once_each(tmp_path: Path) -> None:
    notes, points = Notes(), [Attempt("", {"x": 0.25}, (seed,), "test") for seed in (7, 8)]
    arm = Arm("search", tmp_path, ("score",))
    study = open_study(tmp_path)
    assert enqueue(study, arm.lock, points) == 2
    assert enqueue(study, arm.lock, [*points, Attempt("", {"x": 0.25}, (9,), "test")]) == 1
    assert worker(tmp_path, suggests=None, events=notes).run() == "queue"
    assert [(a.point, a.seeds, a.split) for a in notes.begun] == [
        ({"x": 0.25}, (seed,), "test") for seed in (7, 8, 9)
    ]
    assert enqueue(study, arm.lock, points) == 0
    assert counts(study)["complete"] == 3

    new_trial(study, TrialState.FAIL, {"point": {"x": 0.5}, "seeds": [1], "split": "test"})
    assert enqueue(study, arm.lock, [Attempt("", {"x": 0.5}, (1,), "test")]) == 1


def test_an_exhausted_sampler_ends_the_search(tmp_path: Path) -> None:
    run = worker(tmp_path)
    run.study.sampler = optuna.samplers.GridSampler({"x": [0.0, 0.5, 1.0]}, seed=0)
    assert run.run() == "sampler"
    assert sorted(t.params["x"] for t in run.study.trials) == [0.0, 0.5, 1.0]


SPACE = Space((Parameter("x", "x", CategoricalDistribution([0.25, 0.5, 0.75])),))


def grid_worker(folder: Path, objective: Objective = measure, **limits: float) -> Worker:
    found = worker(folder, objective, SPACE.suggest, **limits)
    found.study.sampler = GridSampler(SPACE, seed=0)
    return found


def test_a_finished_grid_trains_nothing_however_often_it_is_called(tmp_path: Path) -> None:
    for _ in range(3):
        assert grid_worker(tmp_path, trials=10).run() == "sampler"
        points = [
            t.user_attrs["point"]["x"] for t in open_study(tmp_path).get_trials(deepcopy=False)
        ]
        assert sorted(points) == [0.25, 0.5, 0.75]


def test_a_point_of_a_grid_that_waits_is_run_and_no_other(tmp_path: Path) -> None:
    def interrupted(attempt: Attempt, report: Report) -> TrialResult:
        raise Interrupted

    assert grid_worker(tmp_path, trials=2).run() == "trials"
    assert grid_worker(tmp_path, interrupted, trials=3).run() == "interrupted"
    assert counts(open_study(tmp_path))["waiting"] == 1
    assert grid_worker(tmp_path, trials=10).run() == "sampler"
    assert counts(open_study(tmp_path)) == dict.fromkeys(STATES.values(), 0) | {"complete": 3}


def test_workers_at_the_end_of_a_grid_repeat_no_point(tmp_path: Path) -> None:
    """Four at three points: the last one waits for the others, and takes none of theirs."""

    def slow(attempt: Attempt, report: Report) -> TrialResult:
        time.sleep(0.3)
        return measure(attempt, report)

    workers = [grid_worker(tmp_path, slow, trials=10) for _ in range(4)]
    threads = [threading.Thread(target=one.run) for one in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    points = [t.user_attrs["point"]["x"] for t in open_study(tmp_path).get_trials(deepcopy=False)]
    assert sorted(points) == [0.25, 0.5, 0.75]


def pruned(attempt: Attempt, report: Report) -> TrialResult:
    report(1, {"score": -1.0})
    raise AssertionError


def now_pruned_now_failed(attempt: Attempt, report: Report) -> TrialResult:
    if int(attempt.name[-1]) % 2:
        raise UserError("the width is odd")
    return pruned(attempt, report)


@pytest.mark.parametrize("objective", [pruned, now_pruned_now_failed])
@pytest.mark.parametrize(
    ("limits", "trials"),
    [({"trials": 2}, 20), ({"flops": 1e30}, 20), ({"trials": 60, "failures": 25}, 25)],
)
def test_a_search_of_which_no_trial_gets_to_its_end_ends(
    tmp_path: Path, objective: Objective, limits: dict[str, float], trials: int
) -> None:
    with pytest.raises(RunFailure, match=f"{trials} trials in a row were pruned or failed"):
        worker(tmp_path, objective, **limits).run()
    assert len(open_study(tmp_path).get_trials(deepcopy=False)) == trials
    assert worker(tmp_path, trials=1).run() == "trials"  # with another pruner, perhaps


def test_a_search_that_has_found_something_is_more_patient(tmp_path: Path) -> None:
    def at_first(attempt: Attempt, report: Report) -> TrialResult:
        trial = int(attempt.name[-4:])
        return measure(attempt, report) if trial in (0, 30) else pruned(attempt, report)

    with pytest.raises(RunFailure, match="50 trials in a row were pruned or failed"):
        worker(tmp_path, at_first, trials=3).run()
    assert counts(open_study(tmp_path))["pruned"] == 29 + 50


def test_several_workers_of_a_hopeless_search_all_end(tmp_path: Path) -> None:
    said: list[str] = []

    def work() -> None:
        with pytest.raises(RunFailure) as caught:
            worker(tmp_path, pruned, trials=2).run()
        said.append(str(caught.value))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(said) == 3 and all("trials in a row" in text for text in said)
    assert len(open_study(tmp_path).get_trials(deepcopy=False)) <= 22


def test_workers_in_threads_wait_for_the_last_trial(tmp_path: Path) -> None:
    notes = Notes()

    def slow(attempt: Attempt, report: Report) -> TrialResult:
        time.sleep(0.5)
        return found(0.5)

    other = threading.Thread(target=worker(tmp_path, slow, trials=1).run)
    other.start()
    time.sleep(0.25)
    assert worker(tmp_path, slow, events=notes, trials=1).run() == "trials"
    other.join()
    assert notes.begun == []
    assert notes.waits == [1]
    assert counts(open_study(tmp_path))["complete"] == 1
