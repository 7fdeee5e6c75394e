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
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from colaflex.experiment.experiment import Experiment
from colaflex.experiment.folder import FolderHeld
from colaflex.experiment.prepared import Prepared, prepare
from colaflex.experiment.run_options import RunOptions
from colaflex.experiment.settings import chosen_device, chosen_precision
from colaflex.experiment.stage_claim import ClaimRelease, StageOneHeld, claimed
from colaflex.leaderboard.cell_pool import BUSY
from colaflex.runtime import terminal
from colaflex.runtime.failures import report_failure
from colaflex.runtime.pool import when_to_stop
from colaflex.spec import Spec
from colaflex.training.interrupts import Interrupted
from colaflex.training.progress import LineProgress
from colaflex.training.watcher import Watcher

__all__ = ["Stop", "arguments_of", "ended_with", "main", "train"]

SECONDS = 30.0
"""Between two lines of progress."""


class Stop(Watcher):
    """Stops training at the end of a step, also where that is asked before it begins."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    def ask(self) -> None:
        """As training hears it; before, nobody does."""
        self._asked.set()
        os.kill(os.getpid(), signal.SIGTERM)

    def begin(self, stage: str, done: int, total: int) -> None:
        """Training hears it by now."""
        if self._asked.is_set():
            os.kill(os.getpid(), signal.SIGTERM)


def arguments_of(name: str) -> argparse.ArgumentParser:
    """What a run of a board is told on its command line."""
    parser = argparse.ArgumentParser(prog=name)
    parser.add_argument("spec", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--stage1", default="")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    return parser


def ended_with(run: Callable[[Stop], object]) -> int:
    """Run until the end or until asked to stop; returns the exit code."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # training takes it over, and knows what to do
    stop = Stop()
    when_to_stop(stop.ask)
    try:
        run(stop)
    except (FolderHeld, StageOneHeld):
        return BUSY
    except (Interrupted, KeyboardInterrupt) as interruption:
        terminal.say(str(interruption) or "interrupted")
        return 130
    except Exception as error:
        return report_failure(error)
    return 0


def train(given: argparse.Namespace, options: RunOptions, stop: Stop) -> Prepared:
    """Run an experiment, or go on with it, once its stage 1 is free to be trained."""
    with ExitStack() as claim:
        precision = chosen_precision(given.precision, chosen_device(given.device))
        claim.enter_context(claimed(given.stage1, precision=precision))
        prepared = prepare(Spec.load(given.spec), given.folder, options)
        watchers = [LineProgress(sys.stderr, SECONDS), stop, ClaimRelease(claim)]
        Experiment(prepared, watchers).run()
    return prepared


def main(arguments: list[str] | None = None) -> int:
    """Run or go on with a cell; returns the exit code."""
    given = arguments_of("cell_process").parse_args(arguments)
    options = RunOptions(resume=True, device=given.device, precision=given.precision)
    return ended_with(lambda stop: train(given, options, stop))


if __name__ == "__main__":
    sys.exit(main())
