"""One cell of a bench in a process of its own: `python -m colaflex.leaderboard.cell_process`.

It stops when its standard input ends, so that it outlives nobody who started it: while it trains,
with a checkpoint at the next step; while it measures, when it is done. Exit codes: those of
`colaflex run`, and 75 where another process has what it needs.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

from colaflex.experiment.experiment import Experiment, RunOptions
from colaflex.experiment.folder import FolderHeld
from colaflex.experiment.settings import chosen_device, chosen_precision
from colaflex.experiment.stage_claim import ReleasingProgress, StageOneHeld, claimed
from colaflex.leaderboard.workers import BUSY
from colaflex.runtime import terminal
from colaflex.runtime.failures import told
from colaflex.spec import Spec
from colaflex.training.interrupts import Interrupted
from colaflex.training.progress import LineProgress

__all__ = ["main"]

SECONDS = 30.0


class StoppableProgress(LineProgress):
    """Lines of progress of a process that may be asked to stop before it trains.

    Args:
        stopping: set when the process is to stop.
    """

    def __init__(self, stopping: threading.Event) -> None:
        super().__init__(sys.stderr, SECONDS)
        self._stopping = stopping

    def begin(self, stage: str, done: int, total: int) -> None:
        """A stage begins, or goes on."""
        super().begin(stage, done, total)
        if self._stopping.is_set():  # asked before training knew how to stop
            os.kill(os.getpid(), signal.SIGTERM)


def main(arguments: list[str] | None = None) -> int:
    """Run or go on with a cell; returns the exit code."""
    parser = argparse.ArgumentParser(prog="cell_process")
    parser.add_argument("spec", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--stage1", default="")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    given = parser.parse_args(arguments)
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # training takes it over, and knows what to do
    threading.Thread(target=_watch, args=(stopping,), daemon=True).start()
    try:
        with ExitStack() as claim:
            precision = chosen_precision(given.precision, chosen_device(given.device))
            claim.enter_context(claimed(given.stage1, precision=precision))
            options = RunOptions(resume=True, device=given.device, precision=given.precision)
            progress = ReleasingProgress(StoppableProgress(stopping), claim)
            Experiment(Spec.load(given.spec), given.folder, options, progress).run()
    except (FolderHeld, StageOneHeld):
        return BUSY
    except (Interrupted, KeyboardInterrupt) as interruption:
        terminal.say(str(interruption) or "interrupted")
        return 130
    except Exception as error:
        return told(error)
    return 0


def _watch(stopping: threading.Event) -> None:
    """Wait for the end of standard input; then ask for a stop."""
    while os.read(0, 1):
        pass
    stopping.set()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
