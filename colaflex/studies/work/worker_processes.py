"""Several workers on this machine, each a process that works at the whole study.

Each is a `python -m colaflex.studies.work.worker_processes`. Asked to stop, it writes a checkpoint
at the next step, and its trial waits for whoever goes on with it. Exit codes are those of
`colaflex study run`.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path

from colaflex.errors import RunFailure
from colaflex.runtime.failures import report_failure
from colaflex.runtime.pool import Pool, ProcessEnd, when_to_stop
from colaflex.runtime.terminal import say
from colaflex.studies.file.study_file import StudyFile
from colaflex.studies.study import Study, Where
from colaflex.studies.work.limits import Limits
from colaflex.studies.work.running import WorkSettings, work
from colaflex.training.interrupts import stopped_by_signals
from colaflex.training.watcher import Watcher

__all__ = ["WorkerPool", "main"]

MODULE = "colaflex.studies.work.worker_processes"
POLL = 0.1
RESTARTS = 5
"""Workers that were ended by a signal and are started again, at most."""
STOPPED = 130
STORAGE = "COLAFLEX_STUDY_STORAGE"
"""Variable that tells a worker its storage: it may hold a password, which arguments would show."""


class WorkerPool:
    """Starts workers, starts again those that were killed, and waits for all.

    Args:
        study: that they work at.
        settings: how.
        count: of the workers.
    """

    def __init__(self, study: Study, settings: WorkSettings, count: int) -> None:
        self.arguments = [str(study.file.path), "--out", str(study.where.folder)]
        self.arguments += ["--arms", *settings.arms]
        self.arguments += ["--device", settings.device, "--precision", settings.precision]
        for name, value in asdict(settings.limits).items():
            self.arguments += [f"--{name}", str(value)] if value is not None else []
        self.storage, self.pool = study.where.storage, Pool[int](MODULE, count)
        self._restarts = 0

    def run(self) -> int:
        """Work to the end; returns the exit code.

        Raises:
            RunFailure: workers are killed again and again.
        """
        for number in range(1, self.pool.size + 1):
            self._start(number)
        try:
            return self._wait()
        except KeyboardInterrupt:
            say("interrupted: stopping at the next checkpoints; once more ends at once")
            self._stop()
            return STOPPED
        finally:
            self.pool.kill()

    def _start(self, number: int) -> None:
        label = ["--label", f"worker {number}: "]
        self.pool.start(number, [*self.arguments, *label], variables={STORAGE: self.storage})

    def _wait(self) -> int:
        codes = [0]
        while len(self.pool):
            for ended in self.pool.ended():
                if ended.code < 0:
                    self._again(ended)
                else:
                    codes.append(ended.code)
            time.sleep(POLL)
        return max(codes)

    def _again(self, ended: ProcessEnd[int]) -> None:
        """Start a worker again whom a signal has ended: its trial goes on."""
        self._restarts += 1
        if self._restarts > RESTARTS:
            raise RunFailure(
                f"workers were killed {self._restarts} times, the last by signal {-ended.code}; "
                "perhaps memory is short: use fewer --workers. Nothing is lost: the same command "
                "goes on"
            )
        say(f"worker {ended.job}: ended by signal {-ended.code}; it is started again")
        self._start(ended.job)

    def _stop(self) -> None:
        self.pool.stop()
        while len(self.pool):
            list(self.pool.ended())
            time.sleep(POLL)


def main(arguments: list[str] | None = None) -> int:
    """Work at a study, as one of its workers; returns the exit code."""
    asked = _parser().parse_args(arguments)
    # A command that a script starts in the background ignores Ctrl-C, and so would its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    when_to_stop(lambda: os.kill(os.getpid(), signal.SIGINT))
    limits = Limits(asked.trials, asked.minutes, asked.flops, asked.failures)
    settings = WorkSettings(limits, tuple(asked.arms), asked.device, asked.precision, asked.label)
    try:
        study = Study(StudyFile.load(asked.study), Where(asked.out, os.environ[STORAGE]))
        with stopped_by_signals():
            return 0 if work(study, settings, Watcher()) else STOPPED
    except KeyboardInterrupt:
        return STOPPED
    except Exception as error:
        return report_failure(error, asked.label)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="worker_processes")
    parser.add_argument("study", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--arms", nargs="+", required=True)
    parser.add_argument("--trials", type=int)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--flops", type=float)
    parser.add_argument("--failures", type=int, required=True)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--label", default="")
    return parser


if __name__ == "__main__":
    sys.exit(main())
