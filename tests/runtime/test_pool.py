"""Processes of a pool: started with their share of the cores, ended, stopped, killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from colaflex.runtime.pool import Pool, ProcessEnd

MODULE = """
import os, signal, sys, time
from colaflex.runtime.pool import when_to_stop
print(os.environ["OMP_NUM_THREADS"], os.environ.get("SAID", ""), flush=True)
match sys.argv[1]:
    case "end":
        sys.exit(int(sys.argv[2]))
    case "die":
        os.kill(os.getpid(), signal.SIGKILL)
    case "wait":
        when_to_stop(lambda: os._exit(130))
        print("waits", flush=True)
        time.sleep(60)
    case "deaf":
        print("waits", flush=True)
        time.sleep(60)
"""


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pool[str]]:
    (tmp_path / "pool_job.py").write_text(MODULE)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    made = Pool[str]("pool_job", 2)
    yield made
    made.kill()


def rest(pool: Pool[str], seconds: float = 60.0) -> dict[str, ProcessEnd[str]]:
    """All that end, by job."""
    found: dict[str, ProcessEnd[str]] = {}
    until = time.monotonic() + seconds
    while len(pool) and time.monotonic() < until:
        found |= {ended.job: ended for ended in pool.ended()}
        time.sleep(0.01)
    return found


def start(pool: Pool[str], job: str, *arguments: str, folder: Path) -> Path:
    log = folder / f"{job}.log"
    with log.open("wb") as file:
        pool.start(job, arguments, stdout=file, stderr=file, variables={"SAID": job})
    return log


def wait_for(log: Path, text: str) -> None:
    until = time.monotonic() + 60
    while text not in log.read_text():
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.01)


def test_each_process_says_how_it_ended(pool: Pool[str], tmp_path: Path) -> None:
    log = start(pool, "a", "end", "3", folder=tmp_path)
    assert "a" in pool and "b" not in pool and pool.free and len(pool) == 1
    start(pool, "b", "die", folder=tmp_path)
    assert not pool.free and list(pool) == ["a", "b"]
    found = rest(pool)
    assert (found["a"].code, found["b"].code) == (3, -signal.SIGKILL)
    assert found["a"].seconds > 0 and not len(pool)
    assert log.read_text().split() == [str(max(1, len(os.sched_getaffinity(0)) // 2)), "a"]


def test_one_that_is_asked_to_stop_does_and_one_that_does_not_hear_is_killed(
    pool: Pool[str], tmp_path: Path
) -> None:
    logs = [start(pool, job, how, folder=tmp_path) for job, how in (("a", "wait"), ("b", "deaf"))]
    for log in logs:
        wait_for(log, "waits")
    pool.stop()
    found: dict[str, ProcessEnd[str]] = {}
    until = time.monotonic() + 60
    while not found and time.monotonic() < until:
        found = {ended.job: ended for ended in pool.ended()}
    assert {job: ended.code for job, ended in found.items()} == {"a": 130}
    pool.kill()
    assert rest(pool)["b"].code == -signal.SIGKILL


def test_a_process_outlives_nobody_who_started_it(pool: Pool[str], tmp_path: Path) -> None:
    """Its parent is killed: the end of its standard input tells it."""
    code = (
        "import sys, time; from colaflex.runtime.pool import Pool; pool = Pool('pool_job', 1); "
        "pool.start('a', ['wait'], stdout=sys.stdout.buffer); time.sleep(60)"
    )
    log = tmp_path / "log"
    with log.open("wb") as file:
        parent = subprocess.Popen([sys.executable, "-c", code], stdout=file)
    wait_for(log, "waits")
    parent.kill()
    parent.wait()
    until = time.monotonic() + 60
    while any(b"pool_job" in line for line in command_lines()):
        assert time.monotonic() < until
        time.sleep(0.02)


def command_lines() -> Iterator[bytes]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_bytes()
        except OSError:
            continue
