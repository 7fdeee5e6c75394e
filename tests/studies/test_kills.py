"""Workers killed at random moments: no trial lost, none told twice, none stuck."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from killed_workers import arm, lines, open_study, value_of
from optuna.storages.journal import JournalFileSymlinkLock
from optuna.trial import TrialState

from colaflex.studies.journal import FlockLock, torn_path
from colaflex.studies.ownership import reap
from colaflex.studies.spent import counts, flops_spent

pytestmark = pytest.mark.timeout(600)

SCRIPT = Path(__file__).parent / "killed_workers.py"
STATE = 6
"""Operation of Optuna's journal that sets the state of a trial."""


def run(url: str, folder: Path, limit: int, kills: int) -> list[dict[str, Any]]:
    """The kills, after two workers have reached the limit in spite of them."""
    command = [sys.executable, str(SCRIPT), url, str(folder), str(limit), str(kills), "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads((folder / "kills.json").read_text())
    assert len(found) == kills
    return found


def check_nothing_is_lost(url: str, folder: Path, limit: int) -> None:
    study = open_study(url, folder)
    reap(study, arm(folder).lock)
    found = counts(study)
    assert found["complete"] == limit
    assert found["running"] == found["failed"] == 0
    trials = study.get_trials()
    assert [trial.number for trial in trials] == list(range(len(trials)))
    for trial in trials:
        if trial.state == TrialState.COMPLETE:
            assert trial.values == [value_of(trial.user_attrs["point"])]
            assert trial.params == trial.user_attrs["point"]
            assert set(trial.intermediate_values) == {1, 2}
    ended = found["complete"] + sum(t.state == TrialState.PRUNED for t in trials if t.user_attrs)
    assert found["pruned"] > 0
    assert ended == found["complete"] + found["pruned"]
    assert flops_spent(trials) == 3.0 * limit + 5.0

    told = lines(folder, "told")
    assert len(told) > 0.8 * limit
    assert max(Counter(line["number"] for line in told).values()) == 1
    for line in told:
        trial = trials[line["number"]]
        assert trial.state.name.lower() == line["state"]
        if line["state"] == "complete":
            assert trial.values == line["values"]


def check_next_trials_start(kills: list[dict[str, Any]]) -> None:
    """By whichever worker; and by the new one, unless the end was near and it had to wait."""
    assert all(kill["next_by_anyone"] < 1.0 for kill in kills[:-2])
    assert sum(kill["next_by_successor"] < 1.0 for kill in kills[:-2]) >= 0.9 * len(kills) - 2


def test_nothing_is_lost_by_a_hundred_kills(tmp_path: Path) -> None:
    kills = run("journal", tmp_path, limit=400, kills=100)
    check_nothing_is_lost("journal", tmp_path, limit=400)
    check_next_trials_start(kills)

    records = [json.loads(text) for text in (tmp_path / "journal.log").read_text().splitlines()]
    completed = [r["trial_id"] for r in records if r["op_code"] == STATE and r["state"] == 1]
    assert max(Counter(completed).values()) == 1
    begun = Counter(line["name"] for line in lines(tmp_path, "begun"))
    assert max(begun.values()) > 1, "no kill hit a running trial"
    assert not torn_path(tmp_path / "journal.log").exists()


def test_nothing_is_lost_in_sqlite(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    kills = run(url, tmp_path, limit=90, kills=15)
    check_nothing_is_lost(url, tmp_path, limit=90)
    assert all(kill["next_by_anyone"] is not None for kill in kills[:-2])


@pytest.mark.parametrize(("ours", "waits"), [(True, False), (False, True)])
def test_a_killed_holder_frees_our_lock_but_not_that_of_optuna(
    tmp_path: Path, ours: bool, waits: bool
) -> None:
    path = tmp_path / "journal.log"

    def lock() -> FlockLock | JournalFileSymlinkLock:
        return FlockLock(path) if ours else JournalFileSymlinkLock(str(path))

    def in_child(then: signal.Signals | None) -> int:
        child = os.fork()
        if child == 0:
            lock().acquire()
            if then is not None:
                os.kill(os.getpid(), then)
            os._exit(0)
        return child

    os.waitpid(in_child(signal.SIGKILL), 0)
    waiting = in_child(None)
    until = time.monotonic() + 1.0
    ended = 0
    while not ended and time.monotonic() < until:
        ended, _ = os.waitpid(waiting, os.WNOHANG)
        time.sleep(0.01)
    if not ended:
        os.kill(waiting, signal.SIGKILL)
        os.waitpid(waiting, 0)
    assert (not ended) == waits
