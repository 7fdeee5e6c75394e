"""`colaflex bench run`: every cell of a board trained, measured and recorded, once."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from colaflex.errors import RunFailure, UserError
from colaflex.experiment.folder import IDENTITY, RunFolder
from colaflex.files.reading import open_regular
from colaflex.leaderboard.board import Board
from colaflex.leaderboard.cell_matching import Match, Matcher
from colaflex.leaderboard.cell_pool import BUSY, CellEnd, CellPool, Settings
from colaflex.leaderboard.cells import Cell
from colaflex.leaderboard.record import Record, write_record
from colaflex.leaderboard.record_of_run import build_record
from colaflex.leaderboard.records import check_records, record_files
from colaflex.runtime.lock import is_locked
from colaflex.runtime.terminal import say

__all__ = ["Bench", "Outcome"]

POLL = 0.05
OFTEN = 1.0
"""Seconds between two lines of a running cell, at least."""
LONGEST_END = 1 << 16
"""Bytes of a log in which the reason of a failure is looked for."""
LATER = 1.0
"""Seconds after which a cell is looked at again that another process has."""


@dataclass
class Outcome:
    """What a bench came to.

    Attributes:
        records: the file of every finished cell.
        failed: what went wrong, by cell.
        left: cells that were not finished, in time or before a stop.
        interrupted: whether a Ctrl-C ended it.
    """

    records: dict[Cell, Path] = field(default_factory=dict)
    failed: dict[Cell, str] = field(default_factory=dict)
    left: list[Cell] = field(default_factory=list)
    interrupted: bool = False


class Bench:
    """Runs cells of a board, however often it is started and by however many.

    What is done is known by files alone: a record, or else a finished run folder, of the spec that
    the cell has. A folder that another process trains in is passed over and looked at again.

    Args:
        board: the board.
        cells: which of its cells.
        settings: how they are run.
    """

    def __init__(self, board: Board, cells: Sequence[Cell], settings: Settings) -> None:
        self.board, self.cells, self.settings = board, list(cells), settings
        self.matcher = Matcher(board, settings.out / "matches")
        self.matches: dict[Cell, Match] = {}
        self.pool = CellPool(settings)
        self.outcome = Outcome()
        self._later: dict[Cell, float] = {}
        self._seconds: list[float] = []

    def match(self) -> Mapping[Cell, Match]:
        """Solve all cells, before anything is trained.

        Raises:
            UserError: a row can't be trained on this board, or a record stands in the way.
        """
        say(f"widths and steps of {len(self.cells)} cells, solved or known")
        for cell in self.cells:
            if cell not in self.matches:
                self.matches[cell] = self.matcher.match(cell)
                if not self.matches[cell].ok:
                    say(f"{cell.name}: {self.unmatched(cell)}; it will not be ranked")
        self._known_records()
        return self.matches

    def unmatched(self, cell: Cell) -> str:
        """What a cell comes to that does not match its board."""
        match, board = self.matches[cell], self.board
        return (
            f"the nearest found are {match.parameters:,} parameters ({board.parameters:,} asked) "
            f"and {match.flops:.4g} FLOPs ({board.budgets[cell.budget]:.4g} asked)"
        )

    def run(self, minutes: float | None = None) -> Outcome:
        """Run what is not done.

        Args:
            minutes: stop after so long, at the next checkpoints.
        """
        end = None if minutes is None else time.monotonic() + 60 * minutes
        self.match()
        done = len(self.outcome.records)
        say(f"{done} of {len(self.cells)} cells have a record already")
        if done < len(self.cells):
            say(f"what the cells say goes to {self.settings.out / 'logs'}")
            _ = self.pool.precision  # refused now where this machine lacks it
        try:
            self._loop(end)
        except KeyboardInterrupt:
            self.outcome.interrupted = True
            if len(self.pool):
                say("interrupted: stopping at the next checkpoints; once more ends at once")
            self._stop()
        self.outcome.left = [cell for cell in self.cells if not self._settled(cell)]
        return self.outcome

    def _loop(self, end: float | None) -> None:
        shown = time.monotonic()
        while not all(self._settled(cell) for cell in self.cells):
            if time.monotonic() >= shown + OFTEN:
                shown = time.monotonic()
                for running, line in self.pool.lines():
                    say(f"{running.name}: {line}")
            for ended in self.pool.ended():
                self._after(ended)
            if end is not None and time.monotonic() >= end:
                say("time is over: stopping at the next checkpoints")
                self._stop()
                return
            while self.pool.free and (cell := self._next()) is not None:
                self._start(cell)
            time.sleep(POLL)

    def _stop(self) -> None:
        self.pool.stop()
        try:
            while len(self.pool):
                for ended in self.pool.ended():
                    if ended.code != 130:
                        self._after(ended)
                time.sleep(POLL)
        except KeyboardInterrupt:
            self.pool.kill()
            raise

    def _settled(self, cell: Cell) -> bool:
        return cell in self.outcome.records or cell in self.outcome.failed

    def _next(self) -> Cell | None:
        """The first cell that nobody runs and that can run now."""
        now = time.monotonic()
        for cell in self.cells:
            if self._settled(cell) or cell in self.pool or self._later.get(cell, 0.0) > now:
                continue
            if is_locked(self.settings.out / cell.name):
                self._later[cell] = now + LATER
                continue
            if self._record(cell) or self._settled(cell):
                continue
            if self._stage_one_comes(cell):
                self._later[cell] = now + LATER
                continue
            return cell
        return None

    def _stage_one_comes(self, cell: Cell) -> bool:
        """Whether a cell waits for the stage 1 that another one trains, or has begun to."""
        from colaflex.experiment.stage_cache import stage_one_path

        digest = self.matches[cell].stage1_digest
        if not digest or stage_one_path(digest, self.pool.precision).exists():
            return False
        if self.pool.trains(digest):
            return True
        return not self._trains(cell) and any(
            self._trains(other)
            and (is_locked(self.settings.out / other.name) or not self._settled(other))
            for other in self.cells
            if self.matches[other].stage1_digest == digest
        )

    def _trains(self, cell: Cell) -> bool:
        """Whether a cell has begun a run that trains its stage 1 itself."""
        try:
            identity = RunFolder(self.settings.out / cell.name).read(IDENTITY)
        except UserError:
            return False
        same = identity.get("stage1_digest") == self.matches[cell].stage1_digest
        return same and identity.get("reused") is None

    def _start(self, cell: Cell) -> None:
        say(f"cell {self._number(cell)}: {cell.name}: runs{self._time_left()}")
        match = self.matches[cell]
        self.pool.start_cell(cell, self.matcher.spec(cell, match.values), match)

    def _after(self, ended: CellEnd) -> None:
        """Take note of a process that has ended."""
        cell = ended.job
        if ended.code == BUSY:
            self._later[cell] = time.monotonic() + LATER
        elif ended.code == 0 and self._record(cell):
            self._seconds.append(ended.seconds)
            took = f"done in {ended.seconds:.0f} s"
            say(f"cell {self._number(cell)}: {cell.name}: {took}{self._time_left()}")
        elif ended.code != 130:
            self.outcome.failed[cell] = self._reason(ended)
            say(f"cell {self._number(cell)}: {cell.name}: FAILED: {self.outcome.failed[cell]}")

    def _record(self, cell: Cell) -> bool:
        """Whether a finished run of the cell is recorded; it is now, if need be."""
        folder = self.settings.out / cell.name
        # The report is the last that a run writes.
        if not all((folder / name).exists() for name in ("result.json", "report.html")):
            return False
        try:
            record = build_record(self.board, cell, folder)
            self._check_data(record, folder)
            if record.spec_digest != self.matches[cell].spec_digest:
                raise UserError(
                    f"{folder}: holds a run of another spec than this cell's; move it away, or "
                    "choose another folder with --out"
                )
            path = write_record(record, self.board.results)
            check_records(self.board, [path])
        except (UserError, RunFailure) as error:
            self.outcome.failed[cell] = str(error)
            say(f"{cell.name}: FAILED: {error}")
            return False
        self.outcome.records[cell] = path
        return True

    def _known_records(self) -> None:
        """Find the records that there are; one of another spec than its cell's is refused."""
        wanted = {cell.name: cell for cell in self.cells}
        for path in record_files(self.board):
            cell = wanted.get(path.stem.rpartition("-")[0])
            if cell is None:
                continue
            record: Record = check_records(self.board, [path])[0]
            self._check_data(record, path)
            if record.spec_digest != self.matches[cell].spec_digest:
                raise UserError(
                    f"{path}: a record of another spec than the board's cell {cell.name} has now; "
                    "records are not replaced: move it away, or give the row another name"
                )
            self.outcome.records[cell] = path

    def _check_data(self, record: Record, place: Path) -> None:
        """Refuse what was measured on other data than the board's corpus is now."""
        known, digest = record.data_digest, self.matcher.data.digest
        if known != digest:
            raise UserError(
                f"{place}: was made on other data than the board has now: the corpus or its "
                f"tokenizer has changed (digest {known[:12]}, now {digest[:12]}). Bring the data "
                "back as it was, or move this away"
            )

    def _reason(self, ended: CellEnd) -> str:
        log = self.pool.log(ended.job)
        with open_regular(log) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LONGEST_END))
            lines = file.read(LONGEST_END).decode(errors="replace").splitlines()
        last = next((line for line in reversed(lines) if line.strip()), "it said nothing")
        how = f"ended by signal {-ended.code}" if ended.code < 0 else f"exit code {ended.code}"
        return f"{last.strip()[:500]} ({how}; all of it in {log})"

    def _number(self, cell: Cell) -> str:
        return f"{self.cells.index(cell) + 1} of {len(self.cells)}"

    def _time_left(self) -> str:
        if not self._seconds:
            return ""
        left = sum(not self._settled(cell) for cell in self.cells)
        mean = sum(self._seconds) / len(self._seconds)
        return f"; about {mean * left / self.settings.workers / 60:.1f} minutes left"

    def as_json(self) -> dict[str, Any]:
        """What is done, cell by cell."""
        return {"board": self.board.board, "cells": [self._cell_json(cell) for cell in self.cells]}

    def _cell_json(self, cell: Cell) -> dict[str, Any]:
        match, outcome = self.matches[cell], self.outcome
        record, failed = outcome.records.get(cell), outcome.failed.get(cell)
        return {
            "row": cell.row,
            "budget": cell.budget,
            "seed": cell.seed,
            "status": "done" if record else "failed" if failed else "waiting",
            "record": None if record is None else str(record),
            "reason": failed or "",
            "matched": {
                "parameters": match.parameters,
                "flops": match.flops,
                "ok": match.ok,
                "values": dict(match.values),
            },
        }
