"""Workers killed at random moments: no trial lost, none told twice, none stuck."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from killed_workers import lines
from kills import check_next_trials_start, check_nothing_is_lost, run
from optuna.storages.journal import JournalFileSymlinkLock

from colaflex.studies.storage.journal import FlockLock, torn_path

pytestmark = pytest.mark.timeout(600)

STATE = 6
"""Operation of Optuna's journal that sets the state of a trial."""


def test_nothing_is_lost_by_a_hundred_kills(tmp_path: Path) -> None:
    kills = run("journal", tmp_path, limit=250, kills=100)
    check_nothing_is_lost("journal", tmp_path, limit=250)
    check_next_trials_start(tmp_path, kills)

    records = [json.loads(text) for text in (tmp_path / "journal.log").read_text().splitlines()]
    completed = [r["trial_id"] for r in records if r["op_code"] == STATE and r["state"] == 1]
    assert max(Counter(completed).values()) == 1
    begun = Counter(line["name"] for line in lines(tmp_path, "begun"))
    assert max(begun.values()) > 1, "no kill hit a running trial"
    assert not torn_path(tmp_path / "journal.log").exists()


def test_nothing_is_lost_in_sqlite(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    kills = run(url, tmp_path, limit=45, kills=15)
    check_nothing_is_lost(url, tmp_path, limit=45)
    check_next_trials_start(tmp_path, kills)


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
