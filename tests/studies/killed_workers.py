"""Two workers of a study, killed at random moments and started again; started as a script.

Workers are forked, so that what is measured is not the start of an interpreter. Each appends to
two files what it begins and what it has told; a line is one write, which a kill can't tear.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna

from colaflex.studies.arm import Arm
from colaflex.studies.objective import Attempt, Point, Report, TrialResult
from colaflex.studies.storage.storages import open_storage
from colaflex.studies.trials import TrialRecord
from colaflex.studies.work.limits import Limits
from colaflex.studies.work.worker import Worker

NAME = "killed"


def value_of(point: Point) -> float:
    return 1.0 - (float(point["x"]) - 0.3) ** 2


def measure(attempt: Attempt, report: Report) -> TrialResult:
    value = value_of(attempt.point)
    for step in (1, 2):
        time.sleep(random.uniform(0.001, 0.008))
        report(step, {"score": value - 1 / step})
    score = {"value": value, "low": value, "high": value, "n": 1}
    return TrialResult({"score": score}, flops=3.0, seconds=0.01, stage1={"same": 5.0})


def suggest(trial: optuna.Trial) -> Point:
    return {"x": trial.suggest_float("x", 0.0, 1.0), "y": trial.suggest_categorical("y", [1, 2])}


def arm(folder: Path) -> Arm:
    return Arm("search", folder, ("score",))


def open_study(url: str, folder: Path) -> optuna.Study:
    return optuna.create_study(
        storage=open_storage(url, folder),
        study_name=NAME,
        direction="maximize",
        sampler=optuna.samplers.RandomSampler(seed=os.getpid()),
        pruner=optuna.pruners.ThresholdPruner(lower=-0.25),
        load_if_exists=True,
    )


class Lines:
    """Events as lines of files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def started(self, attempt: Attempt) -> None:
        self.note("begun", name=attempt.name)

    def ended(self, record: TrialRecord) -> None:
        line = {"number": record.number, "state": record.state, "values": record.values}
        self._write("told", line)

    def waiting(self, running: int) -> None:
        pass

    def note(self, kind: str, **more: str) -> None:
        self._write(kind, {"pid": os.getpid(), "at": time.monotonic(), **more})

    def _write(self, name: str, line: dict[str, Any]) -> None:
        descriptor = os.open(self.folder / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{json.dumps(line)}\n".encode())
        os.close(descriptor)


def lines(folder: Path, name: str) -> list[dict[str, Any]]:
    path = folder / name
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def start(url: str, folder: Path, limit: int) -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            random.seed()
            study, limits, events = open_study(url, folder), Limits(trials=limit), Lines(folder)
            events.note("opened")
            worker = Worker(study, arm(folder), suggest, measure, limits, events)
            code = int(worker.run() != "trials")
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(code)
    return child


def kill_at_random(url: str, folder: Path, limit: int, kills: int) -> Iterator[float]:
    """When each was. They are spread over the trials, up to the last ones."""
    workers = [start(url, folder, limit) for _ in range(2)]
    for kill in range(kills):
        while len(lines(folder, "told")) < 1 + (kill * limit) // (kills + 1):
            time.sleep(0.002)
        time.sleep(random.uniform(0.0, 0.03))
        victim = random.randrange(2)
        os.kill(workers[victim], signal.SIGKILL)
        at = time.monotonic()
        _, status = os.waitpid(workers[victim], 0)
        if not os.WIFSIGNALED(status):
            raise SystemExit(f"a worker had ended by itself after {kill} kills: {status}")
        workers[victim] = start(url, folder, limit)
        yield at
    for worker in workers:
        _, status = os.waitpid(worker, 0)
        if status:
            raise SystemExit(f"a worker failed: {status}")


def warm_up(url: str) -> None:
    """Import and prepare what forked workers need, as far as it bears a fork."""
    if url.startswith("grpc"):
        importlib.import_module("grpc")
        importlib.import_module("optuna.storages._grpc.servicer")
    else:
        with tempfile.TemporaryDirectory() as name:
            other = Path(name)
            study = open_study(f"sqlite:///{name}/other.db", other)
            Worker(study, arm(other), suggest, measure, Limits(trials=1)).run()


def main(url: str, folder: Path, limit: int, kills: int, seed: int) -> None:
    if url != "journal":
        warm_up(url)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    random.seed(seed)
    found = list(kill_at_random(url, folder, limit, kills))
    (folder / "kills.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *(int(text) for text in sys.argv[3:6]))
