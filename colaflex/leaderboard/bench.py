"""`colaflex bench run`: every cell of a board trained, measured and recorded, once."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from colaflex.errors import RunFailure, UserError
from colaflex.experiment.folder import IDENTITY, RunFolder
from colaflex.files.reading import open_regular
from colaflex.leaderboard.bench_pace import Pace
from colaflex.leaderboard.bench_tuning import Tuner
from colaflex.leaderboard.board import Board
from colaflex.leaderboard.cell_matching import Match, Matcher
from colaflex.leaderboard.cell_pool import BUSY, DIVERGED, CellEnd, CellPool, Settings
from colaflex.leaderboard.cells import Cell, Job, Trial, tuning_of
from colaflex.leaderboard.record import Record, write_record
from colaflex.leaderboard.record_of_run import build_record
from colaflex.leaderboard.records import check_records, record_files
from colaflex.leaderboard.tuning_plan import sampling_settings
from colaflex.metrics.numbers import compact
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
        self.tuner = (
            None if board.tuning is None else Tuner(board, self.matcher, settings.out, self.cells)
        )
        self._ready: set[Cell] = set()
        self._later: dict[Job, float] = {}
        fidelity = 1.0 if board.tuning is None else board.tuning.fidelity
        self.pace = Pace(fidelity, settings.workers)

    def match(self) -> Mapping[Cell, Match]:
        """Solve all cells, before anything is trained; those that wait for tuning as they stand.

        Raises:
            UserError: a row can't be trained on this board, or a record stands in the way.
        """
        say(f"widths and steps of {len(self.cells)} cells, solved or known")
        for cell in self.cells:
            if cell not in self.matches and not self._is_ready(cell):
                self._match(cell, {})
        self._known_records(self._ready)
        return self.matches

    def _match(self, cell: Cell, settings: Mapping[str, Any]) -> None:
        self.matches[cell] = self.matcher.match(cell, settings)
        if not self.matches[cell].ok:
            say(f"{cell.name}: {self.unmatched(cell)}; it will not be ranked")

    def _is_ready(self, cell: Cell) -> bool:
        """Whether a cell's options are known, as they are where nothing tunes them."""
        if cell in self._ready:
            return True
        chosen = {} if self.tuner is None else self.tuner.settings(cell)
        if chosen is None:
            return False
        self._match(cell, chosen)
        self._ready.add(cell)
        return True

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
        if self.tuner is not None and (trials := self.tuner.trials_left()):
            say(f"tuning: {trials} trials to go, {compact(self.tuner.flops_left())} FLOPs")
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
            while self.pool.free and (job := self._next()) is not None:
                self._start(job)
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

    def _next(self) -> Job | None:
        """The first trial, else cell, that nobody runs and that can run now."""
        now = time.monotonic()
        for trial in [] if self.tuner is None else self.tuner.waiting():
            if trial in self.pool or self._later.get(trial, 0.0) > now:
                continue
            if is_locked(self.settings.out / trial.name):
                self._later[trial] = now + LATER
            elif not self._taken(trial) and not self._busy_stage(trial):
                return trial
        for cell in self.cells:
            if self._settled(cell) or cell in self.pool or self._later.get(cell, 0.0) > now:
                continue
            if not self._known(cell):
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

    def _known(self, cell: Cell) -> bool:
        """Whether a cell can be run by now, if it waits for its tuning; it may have a record."""
        if cell in self._ready:
            return True
        if self.tuner is not None and (failure := self.tuner.failure(cell)):
            self.outcome.failed[cell] = failure
            return False
        if not self._is_ready(cell):
            return False
        self._known_records([cell])
        return not self._settled(cell)

    def _busy_stage(self, trial: Trial) -> bool:
        """Whether the stage 1 of a trial is being trained by another run."""
        from colaflex.experiment.stage_cache import stage_one_path

        assert self.tuner is not None
        digest = self.tuner.planned(trial)[1].stage1_digest
        known = not digest or stage_one_path(digest, self.pool.precision).exists()
        return not known and self.pool.trains(digest)

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

    def _start(self, job: Job) -> None:
        say(f"{self._number(job)}: runs{self._time_left()}")
        if isinstance(job, Cell):
            match = self.matches[job]
            self.pool.start_cell(job, self.matcher.spec(job, match.values), match)
            return
        assert self.tuner is not None
        planned, match = self.tuner.planned(job)
        further = [sampling_settings(one.settings) for one in planned.samplings]
        self.pool.start_cell(job, self.matcher.spec(job, match.values), match, further)

    def _after(self, ended: CellEnd) -> None:
        """Take note of a process that has ended."""
        job = ended.job
        if ended.code == BUSY:
            self._later[job] = time.monotonic() + LATER
        elif ended.code == 0 and (self._record(job) if isinstance(job, Cell) else self._taken(job)):
            self.pace.took(job, ended.seconds)
            say(f"{self._number(job)}: done in {ended.seconds:.0f} s{self._time_left()}")
        elif ended.code == 130:
            return
        elif isinstance(job, Cell):
            self.outcome.failed[job] = self._reason(ended)
            say(f"{self._number(job)}: FAILED: {self.outcome.failed[job]}")
        else:
            self._failed_trial(job, ended)

    def _taken(self, trial: Trial) -> bool:
        """Whether a finished trial is recorded; it is now, if need be."""
        assert self.tuner is not None
        try:
            record = self.tuner.take(trial)
        except (UserError, RunFailure) as error:
            self._broken(trial, str(error))
            return True
        if record is not None:
            say(f"{trial.name}: {self.tuner.said(record)}")
        return record is not None

    def _failed_trial(self, trial: Trial, ended: CellEnd) -> None:
        assert self.tuner is not None
        if ended.code == DIVERGED:
            record = self.tuner.fail(trial, self._last_line(trial))
            say(f"{trial.name}: {self.tuner.said(record)}")
        else:
            self._broken(trial, self._reason(ended))

    def _broken(self, trial: Trial, reason: str) -> None:
        """A trial could not be run, for no reason of its own: its row waits for another start."""
        assert self.tuner is not None
        self.tuner.broken[trial.row, trial.budget] = f"tuning, {trial.name}: {reason}"
        say(f"{trial.name}: FAILED: {reason}")

    def _record(self, cell: Cell) -> bool:
        """Whether a finished run of the cell is recorded; it is now, if need be."""
        folder = self.settings.out / cell.name
        # The report is the last that a run writes.
        if not all((folder / name).exists() for name in ("result.json", "report.html")):
            return False
        try:
            winner = None if self.tuner is None else self.tuner.search(cell).winner
            record = build_record(self.board, cell, folder, winner)
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

    def _known_records(self, cells: Collection[Cell]) -> None:
        """Find the records that there are; one of another spec than its cell's is refused."""
        wanted = {cell.name: cell for cell in cells}
        for path in record_files(self.board):
            cell = wanted.get(path.stem.rpartition("-")[0])
            if cell is None:
                continue
            record: Record = check_records(self.board, [path])[0]
            self._check_data(record, path)
            if record.spec_digest != self.matches[cell].spec_digest:
                why = "" if self.tuner is None else ", by its row or by what its tuning has chosen"
                raise UserError(
                    f"{path}: a record of another spec than the board's cell {cell.name} has now"
                    f"{why}; records are not replaced: move it away, or give the row another name"
                )
            self.outcome.records[cell] = path
            self.pace.recorded(record.training.flops, record.training.seconds)

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
        how = f"ended by signal {-ended.code}" if ended.code < 0 else f"exit code {ended.code}"
        return f"{self._last_line(ended.job)} ({how}; all of it in {self.pool.log(ended.job)})"

    def _last_line(self, job: Job) -> str:
        """What a process said last."""
        with open_regular(self.pool.log(job)) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LONGEST_END))
            lines = file.read(LONGEST_END).decode(errors="replace").splitlines()
        last = next((line for line in reversed(lines) if line.strip()), "it said nothing")
        return last.strip()[:500]

    def _number(self, job: Job) -> str:
        if isinstance(job, Cell):
            return f"cell {self.cells.index(job) + 1} of {len(self.cells)}: {job.name}"
        return f"trial {job.number + 1} of {tuning_of(self.board).trials}: {job.name}"

    def _time_left(self) -> str:
        cells = sum(not self._settled(cell) for cell in self.cells)
        trials = 0 if self.tuner is None else self.tuner.trials_left()
        minutes = self.pace.minutes_of(cells, trials)
        return "" if minutes is None else f"; about {minutes:.1f} minutes left"

    def left(self) -> dict[str, float | None]:
        """What is still to be trained: FLOPs of trials and cells, and minutes of all workers.

        The minutes are those of training, by what the board's records took; None without any.
        """
        open_cells = [cell for cell in self.cells if not self._settled(cell)]
        cells = math.fsum(self.matches[cell].flops for cell in open_cells)
        trials = 0.0 if self.tuner is None else self.tuner.flops_left()
        recorded = [] if self.tuner is None else self.tuner.speeds()
        minutes = self.pace.minutes_for(cells + trials, recorded)
        return {"tuning_flops": trials, "cell_flops": cells, "minutes": minutes}

    def as_json(self) -> dict[str, Any]:
        """What is done, cell by cell."""
        tuning = {} if self.tuner is None else {"tuning": self.tuner.as_json()}
        return {
            "board": self.board.board,
            **tuning,
            "cells": [self._cell_json(cell) for cell in self.cells],
            "left": self.left(),
        }

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
