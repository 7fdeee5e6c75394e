"""The processes of a bench: started, watched, stopped."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from colaflex.files.reading import appending, inside
from colaflex.files.writing import write_atomic
from colaflex.leaderboard.grid import Cell
from colaflex.leaderboard.matching import Match
from colaflex.leaderboard.tail import Tail
from colaflex.spec import Spec

if TYPE_CHECKING:
    from colaflex.training.stage_loss import Precision

__all__ = ["BUSY", "Ended", "Settings", "Workers"]

BUSY = 75
"""Exit code of a cell whose folder, or stage 1, another process has."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How cells are run.

    Attributes:
        out: folder of the run folders.
        workers: how many cells at once.
        device: as of `colaflex run`.
        precision: as of `colaflex run`.
    """

    out: Path
    workers: int = 1
    device: str = "auto"
    precision: str = "auto"


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that has ended.

    Attributes:
        cell: what it ran.
        code: exit code, negative where a signal ended it.
        seconds: since it began.
    """

    cell: Cell
    code: int
    seconds: float


@dataclass(frozen=True, slots=True)
class _Running:
    process: subprocess.Popen[bytes]
    began: float
    stage1: str
    tail: Tail


class Workers:
    """Cells that run side by side on this machine, each in a process of its own.

    Args:
        settings: how.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._running: dict[Cell, _Running] = {}

    def check(self) -> None:
        """Raises UserError for a device or precision that this machine does not have."""
        _ = self.precision

    @cached_property
    def precision(self) -> Precision:
        """In which cells are trained."""
        from colaflex.experiment.settings import chosen_device, chosen_precision

        return chosen_precision(self.settings.precision, chosen_device(self.settings.device))

    def __len__(self) -> int:
        return len(self._running)

    def __contains__(self, cell: object) -> bool:
        return cell in self._running

    @property
    def free(self) -> bool:
        """Whether another cell can start."""
        return len(self._running) < self.settings.workers

    def trains(self, stage1: str) -> bool:
        """Whether a cell with this stage 1 runs."""
        return any(running.stage1 == stage1 for running in self._running.values())

    def log(self, cell: Cell) -> Path:
        """Where a cell's lines go."""
        return self.settings.out / "logs" / f"{cell.name}.log"

    def start(self, cell: Cell, spec: Spec, match: Match) -> None:
        """Start a cell, or go on with it."""
        settings = self.settings
        file = inside(settings.out, f"specs/{cell.name}.yaml")
        folder = inside(settings.out, cell.name)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, spec.to_yaml())
        command = [sys.executable, "-m", "colaflex.leaderboard.cell_process"]
        command += [str(file), str(folder), "--stage1", match.stage1_digest]
        command += ["--device", settings.device, "--precision", settings.precision]
        threads = str(max(1, len(os.sched_getaffinity(0)) // settings.workers))
        tail = Tail(self.log(cell))
        with appending(settings.out, f"logs/{cell.name}.log") as log:
            process = subprocess.Popen(  # noqa: S603
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={"OMP_NUM_THREADS": threads, **os.environ},
                start_new_session=True,  # a Ctrl-C is ours to pass on
            )
        self._running[cell] = _Running(process, time.monotonic(), match.stage1_digest, tail)

    def said(self) -> Iterator[tuple[Cell, str]]:
        """The last line of each cell that has said something since the last call."""
        for cell, running in self._running.items():
            if line := running.tail.last():
                yield cell, line

    def ended(self) -> Iterator[Ended]:
        """The processes that have ended since the last call."""
        for cell, running in list(self._running.items()):
            code = running.process.poll()
            if code is not None:
                self._close(running)
                del self._running[cell]
                yield Ended(cell, code, time.monotonic() - running.began)

    def stop(self) -> None:
        """Ask all to stop at their next checkpoint; they are still to be waited for."""
        for running in self._running.values():
            self._close(running)

    def kill(self) -> None:
        """End all at once; what is in their checkpoints stays."""
        for running in self._running.values():
            running.process.kill()

    @staticmethod
    def _close(running: _Running) -> None:
        if running.process.stdin is not None:
            running.process.stdin.close()
