"""One cell of a bench in a process of its own: `python -m colaflex.leaderboard.cell_process`.

It stops when its standard input ends, so that it outlives nobody who started it: while it trains,
with a checkpoint at the next step; while it measures, when it is done. Exit codes: those of
`colaflex run`, and 75 where another process has what it needs.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from colaflex.errors import RunFailure, UserError
from colaflex.run import Experiment, RunOptions
from colaflex.run_folder import FolderHeld
from colaflex.spec import Spec
from colaflex.stage_cache import stage_one_path
from colaflex.training.interrupts import Interrupted
from colaflex.training.progress import LineProgress

__all__ = ["BUSY", "main"]

BUSY = 75
STAGE1 = "representation"
SECONDS = 30.0


class CellProgress(LineProgress):
    """Lines of progress; ends the claim on stage 1 when another stage begins.

    Args:
        stopping: set when the process is to stop.
        claim: what is held until stage 1 is over.
    """

    def __init__(self, stopping: threading.Event, claim: ExitStack) -> None:
        super().__init__(sys.stderr, SECONDS)
        self._stopping, self._claim = stopping, claim

    def begin(self, stage: str, done: int, total: int) -> None:
        """A stage begins, or goes on."""
        super().begin(stage, done, total)
        if stage != STAGE1:
            self._claim.close()
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
            claim.enter_context(_claimed(given.stage1))
            options = RunOptions(resume=True, device=given.device, precision=given.precision)
            progress = CellProgress(stopping, claim)
            Experiment(Spec.load(given.spec), given.folder, options, progress).run()
    except (FolderHeld, StageOneHeld):
        return BUSY
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    except RunFailure as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except (Interrupted, KeyboardInterrupt) as interruption:
        print(str(interruption) or "interrupted", file=sys.stderr)
        return 130
    return 0


class StageOneHeld(Exception):
    """Another process trains this stage 1."""


@contextmanager
def _claimed(digest: str) -> Iterator[None]:
    """Hold a stage 1 that is not trained yet: one process trains it, and the others find it."""
    path = stage_one_path(digest)
    if not digest or path.exists():
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise StageOneHeld from None
    finally:
        os.close(descriptor)


def _watch(stopping: threading.Event) -> None:
    """Wait for the end of standard input; then ask for a stop."""
    while os.read(0, 1):
        pass
    stopping.set()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
