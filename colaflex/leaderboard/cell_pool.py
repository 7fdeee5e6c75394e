"""The processes of a bench: started, watched, stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from colaflex.files.reading import appending, inside
from colaflex.files.writing import write_atomic
from colaflex.leaderboard.cell_matching import Match
from colaflex.leaderboard.cells import Cell, Job, Trial
from colaflex.runtime.pool import Pool, ProcessEnd
from colaflex.spec import Spec

if TYPE_CHECKING:
    from colaflex.training.hardware import Precision

__all__ = ["BUSY", "DIVERGED", "CellEnd", "CellPool", "Settings", "Tail", "samplings_file"]

BUSY = 75
"""Exit code of a cell whose folder, or stage 1, another process has."""
DIVERGED = 76
"""Exit code of a trial whose training failed."""
BLOCK = 1 << 16
CELL, TRIAL = (f"colaflex.leaderboard.{name}_process" for name in ("cell", "trial"))
LONGEST = 200
"""Characters of a line that is shown."""
CellEnd = ProcessEnd[Job]


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


def samplings_file(out: Path, trial: Trial) -> Path:
    """Where it stands at which further settings of sampling a trial is measured."""
    return inside(out, f"samplings/{trial.name}.json")


class Tail:
    """What is appended to a file from now on.

    Args:
        path: of the file, which may not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = path.stat().st_size if path.exists() else 0

    def last(self) -> str:
        """The last whole line since the last call, cut where it is long; "" where there is none."""
        try:
            with self._path.open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(self._read, size - BLOCK))
                raw = file.read()
        except OSError:
            return ""
        whole, end, _ = raw.rpartition(b"\n")
        self._read = size - len(raw) + len(whole) + len(end)
        lines = whole.decode(errors="replace").split("\n")
        said = [line.rpartition("\r")[2].strip() for line in lines]
        return next((line for line in reversed(said) if line), "")[:LONGEST]


class CellPool(Pool[Job]):
    """Cells and trials that run side by side on this machine, each in a process of its own.

    Args:
        settings: how.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(CELL, settings.workers)
        self.settings = settings
        self._logs: dict[Job, Tail] = {}
        self._stages_one: dict[Job, str] = {}

    @cached_property
    def precision(self) -> Precision:
        """In which cells are trained; raises UserError where this machine has not what is asked."""
        from colaflex.experiment.settings import chosen_device, chosen_precision

        return chosen_precision(self.settings.precision, chosen_device(self.settings.device))

    def trains(self, stage1: str) -> bool:
        """Whether a cell with this stage 1 runs."""
        return any(self._stages_one[cell] == stage1 for cell in self)

    def log(self, cell: Job) -> Path:
        """Where a cell's lines go."""
        return self.settings.out / "logs" / f"{cell.name}.log"

    def start_cell(
        self, cell: Job, spec: Spec, match: Match, samplings: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        """Start a cell or a trial, or go on with it.

        Args:
            cell: which it is.
            spec: of it, all solved for.
            match: what was solved for.
            samplings: further settings of sampling that a trial is measured at.
        """
        settings = self.settings
        file = inside(settings.out, f"specs/{cell.name}.yaml")
        folder = inside(settings.out, cell.name)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, spec.to_yaml())
        arguments = [str(file), str(folder), "--stage1", match.stage1_digest]
        arguments += ["--device", settings.device, "--precision", settings.precision]
        self._stages_one[cell], self._logs[cell] = match.stage1_digest, Tail(self.log(cell))
        module = CELL
        if not isinstance(cell, Cell):
            module, asked = TRIAL, samplings_file(settings.out, cell)
            asked.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(asked, json.dumps(list(samplings)) + "\n")
            arguments += ["--samplings", str(asked)]
        with appending(settings.out, f"logs/{cell.name}.log") as log:
            self.start(cell, arguments, stdout=log, stderr=log, module=module)

    def lines(self) -> Iterator[tuple[Job, str]]:
        """The last line of each cell that has said something since the last call."""
        for cell in self:
            if line := self._logs[cell].last():
                yield cell, line
