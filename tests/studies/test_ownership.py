"""Trials belong to living processes: claims, trials taken back, and limits that hold."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from colaflex.runtime.lock import FileLock
from colaflex.studies.arm import Arm
from colaflex.studies.storage.claims import Claims, new_trial
from colaflex.studies.storage.ownership import RETRIES, SILENCE, Owner, earlier_seconds, reap
from colaflex.studies.storage.process_identity import ProcessIdentity, booted_at
from colaflex.studies.storage.storages import open_storage
from colaflex.studies.work.limits import minutes_spent


@pytest.fixture(params=["journal", "sqlite:///{folder}/study.db"])
def study(request: pytest.FixtureRequest, tmp_path: Path) -> optuna.Study:
    url = request.param.format(folder=tmp_path)
    return optuna.create_study(storage=open_storage(url, tmp_path), study_name="s")


@pytest.fixture
def lock(tmp_path: Path) -> FileLock:
    return FileLock(tmp_path / "lock")


def running(study: optuna.Study, **owner: Any) -> int:
    """A trial that runs, by this process unless said otherwise."""
    attribute = {**asdict(ProcessIdentity.own()), "token": "x", "claimed": time.time(), **owner}
    return new_trial(study, TrialState.RUNNING, {"owner": attribute})


def states(study: optuna.Study) -> list[str]:
    return [trial.state.name for trial in study.get_trials(deepcopy=False)]


def test_a_process_is_alive_until_it_is_killed_even_if_nobody_waits_for_it() -> None:
    def in_child(work: Callable[[], None]) -> tuple[int, int]:
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(write, b"!")
            work()
            os._exit(0)
        os.read(read, 1)
        return child, read

    child, _ = in_child(signal.pause)
    identity = replace(ProcessIdentity.own(), pid=child, started="?")
    assert identity.alive() is False  # another process has this id now
    started = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[19]
    identity = replace(identity, started=started)
    assert identity.alive() is True
    os.kill(child, signal.SIGKILL)
    until = time.monotonic() + 5
    while identity.alive() and time.monotonic() < until:
        time.sleep(0.01)
    assert identity.alive() is False
    os.waitpid(child, 0)
    assert identity.alive() is False
    assert replace(identity, host="elsewhere").alive() is None
    assert ProcessIdentity.of(asdict(identity)) == identity


def test_only_trials_of_dead_owners_are_taken_back(study: optuna.Study, lock: FileLock) -> None:
    now = time.time()
    living = Owner()
    with living.working():
        study.ask()  # by a program that knows no owners
        running(study, token=living.token)
        running(study, host="elsewhere", claimed=now)
        beaten = running(study, host="elsewhere", claimed=now - SILENCE - 60)
        study._storage.set_trial_user_attr(beaten, "beat", now - 60)
        running(study, boot="of another machine of our name", claimed=now)
        assert reap(study, lock) == []
        running(study, token="gone")
        running(study, pid=2**22 + 1)
        running(study, host="elsewhere", claimed=now - SILENCE - 60)
        running(study, boot="before", claimed=booted_at() - 60)
        assert reap(study, lock) == [5, 6, 7, 8]
    assert states(study) == ["RUNNING"] * 5 + ["WAITING"] * 4
    assert reap(study, lock) == [1]


def test_a_trial_taken_back_is_the_same_trial(study: optuna.Study, lock: FileLock) -> None:
    trial_id = running(study, token="gone")
    trial = optuna.Trial(study, trial_id)
    x = trial.suggest_float("x", 0, 1)
    trial.report(0.5, 1)
    trial.set_user_attr("point", {"x": x})
    assert reap(study, lock) == [0]

    owner = Owner()
    claims = Claims(study, lock, owner)
    with owner.working():
        again = claims.claim(None, fresh=True, attributes={})
        assert again is not None
        assert again.number == 0
        assert again.suggest_float("x", 0, 1) == x
        assert again.user_attrs["point"] == {"x": x}
        assert again.user_attrs["retries"] == [1]
        assert claims.owns(again)
        study.tell(again, 1.0)
    assert study.trials[0].intermediate_values == {1: 0.5}
    assert states(study) == ["COMPLETE"]


def test_a_trial_that_kills_its_workers_fails_unless_it_gets_on(
    study: optuna.Study, lock: FileLock
) -> None:
    trial_id = running(study)
    for death in range(RETRIES + 3):
        if death == 3:
            optuna.Trial(study, trial_id).report(1.0, 1)
        study._storage.set_trial_state_values(trial_id, TrialState.RUNNING)
        assert reap(study, lock) == [0]
        assert states(study) == ["FAIL" if death == RETRIES + 2 else "WAITING"]
    assert f"{RETRIES} workers died" in study.trials[0].user_attrs["reason"]


def test_kills_between_which_checkpoints_were_written_do_not_count(
    study: optuna.Study, lock: FileLock, tmp_path: Path
) -> None:
    """A trial without rungs, killed after every checkpoint, of one seed and of a second one."""
    arm, trial_id = Arm("search", tmp_path, ("score",)), running(study)
    folder = tmp_path / "search" / "0000"
    steps = [f"checkpoints/prior-{step:08}" for step in range(RETRIES + 2)]
    steps += ["result.json", "seed-1/checkpoints/prior-00000001", "seed-1/result.json"]
    for step in steps:
        (folder / step).mkdir(parents=True)
        if step.startswith("checkpoints/"):  # only the newest is kept
            for old in folder.glob("checkpoints/*"):
                if old.name != Path(step).name:
                    old.rmdir()
        study._storage.set_trial_state_values(trial_id, TrialState.RUNNING)
        assert reap(study, lock, traces=arm) == [0]
        assert states(study) == ["WAITING"]
    (folder / "seed-2/checkpoints/.prior-00000001.tmp").mkdir(parents=True)  # no progress
    for death in range(RETRIES - 1):
        study._storage.set_trial_state_values(trial_id, TrialState.RUNNING)
        reap(study, lock, traces=arm)
        assert states(study) == ["FAIL" if death == RETRIES - 2 else "WAITING"]


def test_the_time_of_a_trial_that_was_stopped_is_kept(study: optuna.Study, lock: FileLock) -> None:
    owner, ran, least = Owner(), 0.0, 0.0
    claims = Claims(study, lock, owner)

    def spent() -> float:
        return 60 * minutes_spent(study.get_trials(deepcopy=False))

    with owner.working():
        for count in (1, 2, 3):
            began = time.monotonic()
            trial = claims.claim(1, fresh=True, attributes={})
            assert trial is not None and trial.number == 0
            time.sleep(0.2)
            if count < 3:
                claims.give_back(trial)
            else:
                study.tell(trial, 1.0)
            ran, least = ran + time.monotonic() - began, least + 0.2
            found = spent()
            assert least <= found <= ran
            time.sleep(0.2)  # while it waits, no time is spent
            assert spent() == found
    assert 0.4 <= earlier_seconds(study.get_trials(deepcopy=False)[0]) <= found - 0.2


def test_the_time_of_a_killed_trial_ends_with_its_last_sign(
    study: optuna.Study, lock: FileLock, tmp_path: Path
) -> None:
    arm, trial_id = Arm("search", tmp_path, ("score",)), running(study, claimed=0)
    folder = tmp_path / "search/0000"
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text("")
    start = study.get_trials(deepcopy=False)[0].datetime_start
    assert start is not None
    seen = start.timestamp() + 0.25
    os.utime(folder, (0, 0))
    os.utime(folder / "metrics.jsonl", (seen, seen))
    time.sleep(0.5)  # nobody notices
    reap(study, lock, traces=arm)
    assert 60 * minutes_spent(study.get_trials(deepcopy=False)) == pytest.approx(0.25, abs=0.01)
    # Failed by too many deaths, each noticed a night later: the nights were no work.
    for _ in range(RETRIES - 1):
        study._storage.set_trial_state_values(trial_id, TrialState.RUNNING)
        time.sleep(0.1)
        reap(study, lock, traces=arm)
    assert states(study) == ["FAIL"]
    assert 60 * minutes_spent(study.get_trials(deepcopy=False)) == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("spans", ["x", [1], [[1, "2"]], [[5, 1]], [None], {"a": 1}])
def test_times_that_others_have_written_count_nothing(study: optuna.Study, spans: Any) -> None:
    new_trial(study, TrialState.WAITING, {"spans": spans})
    assert minutes_spent(study.get_trials(deepcopy=False)) == 0


def test_a_taken_over_trial_is_not_owned(study: optuna.Study, lock: FileLock) -> None:
    first, second = Claims(study, lock, Owner()), Claims(study, lock, Owner())
    trial = first.claim(1, fresh=True, attributes={"split": "test"})
    assert trial is not None
    assert trial.user_attrs["split"] == "test"
    assert first.owns(trial)
    again = second.claim(1, fresh=True, attributes={})  # the first does not work: it is dead
    assert again is not None
    assert again.number == 0
    assert second.owns(again)
    assert not first.owns(trial)
    first.give_back(trial)
    assert states(study) == ["RUNNING"]
    second.give_back(again)
    assert states(study) == ["WAITING"]


def test_no_more_run_than_are_missing_from_the_limit(study: optuna.Study, tmp_path: Path) -> None:
    """Four workers at once, and a fifth on a host that does not share the lock."""
    study.add_trial(optuna.trial.create_trial(value=1.0))
    owners = [Owner() for _ in range(5)]
    found: list[optuna.Trial] = []

    def work(number: int) -> None:
        lock = FileLock(tmp_path / ("elsewhere" if number == 4 else "lock"))
        claims = Claims(study, lock, owners[number])
        for _ in range(3):
            trial = claims.claim(4, fresh=True, attributes={})
            if trial is not None:
                found.append(trial)
                return
            time.sleep(0.01 * number)

    with ExitStack() as working:
        for owner in owners:
            working.enter_context(owner.working())
        threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len({trial.number for trial in found}) == len(found) <= 3
    assert states(study).count("RUNNING") == len(found)
