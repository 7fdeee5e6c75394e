"""A worker of a study in a process of its own: `python -m colaflex.studies.work.worker_process`.

It stops when its standard input ends, so that it outlives nobody who started it: with a
checkpoint at the next step, and its trial waits for whoever goes on with it. Exit codes are those
of `colaflex study run`.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from pathlib import Path

from colaflex.runtime.failures import told
from colaflex.studies.arm import Limits
from colaflex.studies.file.study_file import StudyFile
from colaflex.studies.study import Study, Where
from colaflex.studies.work.processes import STORAGE
from colaflex.training.interrupts import stopped_by_signals
from colaflex.training.progress import SilentProgress

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Work at a study; returns the exit code."""
    given = _parser().parse_args(arguments)
    # A command that a script starts in the background ignores Ctrl-C, and so would its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=_watch, daemon=True).start()
    from colaflex.studies.work.running import WorkSettings, work

    limits = Limits(given.trials, given.minutes, given.flops, given.failures)
    try:
        study = Study(StudyFile.load(given.study), Where(given.out, os.environ[STORAGE]))
        settings = WorkSettings(
            limits, tuple(given.arms), given.device, given.precision, given.label
        )
        with stopped_by_signals():
            return 0 if work(study, settings, SilentProgress()) else 130
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        return told(error, given.label)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="worker_process")
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


def _watch() -> None:
    """Wait for the end of standard input; then ask for a stop, as a Ctrl-C would."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    sys.exit(main())
