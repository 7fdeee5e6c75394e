"""The tuning that a bench does before its cells: what is tried next, and what came of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from colaflex.errors import UserError
from colaflex.leaderboard.board import Board
from colaflex.leaderboard.cell_matching import Match, Matcher
from colaflex.leaderboard.cell_pool import samplings_file
from colaflex.leaderboard.cells import Cell, Trial, asked_flops, tuning_of
from colaflex.leaderboard.record import write_record
from colaflex.leaderboard.trial_of_run import (
    PlannedTrial,
    failed_trial,
    finished_trial,
    is_finished,
)
from colaflex.leaderboard.trial_record import TrialRecord
from colaflex.leaderboard.trials import Search, load_search, trial_files
from colaflex.leaderboard.tuning_proposals import Proposal, Tried, further_samplings, propose
from colaflex.metrics.numbers import compact
from colaflex.runtime.terminal import say

__all__ = ["Tuner"]

Key = tuple[str, str]
"""Row and budget of a search."""


class Tuner:
    """The searches of the rows that a bench runs; what is done is known by their records alone.

    Args:
        board: that tunes its rows.
        matcher: that solves its trials.
        out: folder of the run folders.
        cells: that are to be run.
    """

    def __init__(self, board: Board, matcher: Matcher, out: Path, cells: Sequence[Cell]) -> None:
        self.board, self.matcher, self.out = board, matcher, out
        keys = dict.fromkeys((cell.row, board.tuned_at(cell.budget)) for cell in cells)
        self._files: dict[Key, list[Path]] = {key: [] for key in keys}
        self._searches: dict[Key, Search] = {key: Search(board, *key, {}) for key in keys}
        self._planned: dict[Trial, tuple[PlannedTrial, Match]] = {}
        self.broken: dict[Key, str] = {}

    def search(self, cell: Cell | Trial) -> Search:
        """The search that a cell waits for, or that a trial is of; as its records say now."""
        key = cell.row, self.board.tuned_at(cell.budget)
        files = trial_files(self.board, *key)
        if files != self._files[key]:
            self._searches[key] = load_search(self.board, *key, self.matcher.data.digest)
            self._files[key] = files
        return self._searches[key]

    def settings(self, cell: Cell) -> Mapping[str, Any] | None:
        """What was chosen for a cell; None where that is not known yet."""
        winner = self.search(cell).winner
        return None if winner is None else winner.settings

    def failure(self, cell: Cell) -> str:
        """Why a cell can't be run, as far as its tuning tells."""
        key, search = (cell.row, self.board.tuned_at(cell.budget)), self.search(cell)
        if key in self.broken:
            return self.broken[key]
        if search.next is None and search.winner is None:
            reasons = [record.reason for record in search.records.values() if record.reason]
            last = reasons[-1] if reasons else f"none has {search.ranked_by()[0]}"
            return f"no trial of its tuning can be used: {last}"
        return ""

    def waiting(self) -> Iterator[Trial]:
        """The next trial of every search that is not done."""
        for row, budget in self._searches:
            if (row, budget) in self.broken:
                continue
            while (number := self.search(Trial(row, budget, 0)).next) is not None:
                trial = Trial(row, budget, number)
                if self._plan(trial):
                    yield trial
                    break

    def planned(self, trial: Trial) -> tuple[PlannedTrial, Match]:
        """What a waiting trial is, and what was solved for it."""
        return self._planned[trial]

    def take(self, trial: Trial) -> TrialRecord | None:
        """Record a trial whose run is finished; None where it is not."""
        planned, match = self._planned[trial]
        asked = samplings_file(self.out, trial)
        if not is_finished(planned, self.out / trial.name, asked):
            return None
        record = finished_trial(self.board, planned, match, self.out / trial.name, asked)
        return self._write(record)

    def fail(self, trial: Trial, reason: str) -> TrialRecord:
        """Record a trial whose training failed."""
        planned, match = self._planned[trial]
        return self._write(
            failed_trial(self.board, planned, self.matcher.data.digest, reason, match)
        )

    def said(self, record: TrialRecord) -> str:
        """What a trial came to, in words."""
        if record.state == "failed":
            return f"FAILED, and counts: {record.reason}"
        search = self.search(Trial(record.row, record.budget, record.number))
        metric, _ = search.ranked_by()
        values = [v for one in record.samplings if (v := search.value(one.metrics)) is not None]
        shown = ", ".join(f"{value:.4g}" for value in values)
        return f"{metric} {shown} after {compact(record.flops)} FLOPs"

    def _plan(self, trial: Trial) -> bool:
        """Decide what a trial is; False where it can't be run, which is recorded."""
        if trial in self._planned:
            return True
        planned, reason = self._proposed(trial), ""
        try:
            match = self.matcher.match(trial, planned.proposal.settings)
        except UserError as error:
            if trial.number == 0:
                raise  # then the row itself can't be trained so briefly
            reason = str(error).removeprefix(f"{self.board.path}: ")  # places are no result
        else:
            if match.ok or not self._matches_as_written(trial):
                self._planned[trial] = planned, match
                return True
            reason = (
                f"does not match the board: the nearest found are {match.parameters:,} parameters "
                f"and {match.flops:.4g} FLOPs"
            )
        record = failed_trial(self.board, planned, self.matcher.data.digest, reason)
        say(f"{trial.name}: {self.said(self._write(record))}")
        return False

    def _matches_as_written(self, trial: Trial) -> bool:
        """Whether the row's own recipe matches; where it doesn't, settings are not to blame."""
        return self.matcher.match(Trial(trial.row, trial.budget, 0)).ok

    def _proposed(self, trial: Trial) -> PlannedTrial:
        space, plan = self.board.spaces[trial.row], tuning_of(self.board)
        if trial.number == 0:
            proposal = Proposal(space.own(), {})
        else:
            known = self.search(trial).records
            before = {n: record for n, record in known.items() if n < trial.number}
            search = Search(self.board, trial.row, trial.budget, before)
            tried = [one for record in before.values() for one in _tried(search, record)]
            proposal = propose(space, plan, tried, search.ranked_by()[1])
        further = further_samplings(space, plan, trial.number, proposal)
        return PlannedTrial(trial, proposal, tuple(further))

    def _write(self, record: TrialRecord) -> TrialRecord:
        write_record(record, self.board.results / "tuning" / record.row)
        self._planned.pop(Trial(record.row, record.budget, record.number), None)
        return record

    def flops_left(self) -> float:
        """Model FLOPs of the trials that are still to be run."""
        return math.fsum(
            (tuning_of(self.board).trials - len(self.search(Trial(row, budget, 0)).records))
            * asked_flops(self.board, Trial(row, budget, 0))
            for row, budget in self._searches
        )

    def speeds(self) -> list[tuple[float, float]]:
        """FLOPs and seconds of the trials that are recorded."""
        return [
            (record.flops, record.seconds)
            for row, budget in self._searches
            for record in self.search(Trial(row, budget, 0)).records.values()
            if record.seconds
        ]

    def trials_left(self) -> int:
        """How many trials are still to be run."""
        trials = tuning_of(self.board).trials
        return sum(
            trials - len(self.search(Trial(row, budget, 0)).records)
            for row, budget in self._searches
        )

    def as_json(self) -> list[dict[str, Any]]:
        """How far every search is, and what it has chosen."""
        return [self._search_json(row, budget) for row, budget in self._searches]

    def _search_json(self, row: str, budget: str) -> dict[str, Any]:
        search = self.search(Trial(row, budget, 0))
        plan, winner = tuning_of(self.board), search.winner
        states = [record.state for record in search.records.values()]
        each = asked_flops(self.board, Trial(row, budget, 0))
        return {
            "row": row,
            "budget": budget,
            "trials": plan.trials,
            "complete": states.count("complete"),
            "failed": states.count("failed"),
            "flops": search.flops,
            "flops_left": each * (plan.trials - len(states)),
            "searched": list(self.board.spaces[row].paths),
            "winner": None
            if winner is None
            else {
                "trial": winner.trial.number,
                "settings": dict(winner.settings),
                "metric": winner.metric,
                "value": winner.value,
            },
            "reason": self.broken.get((row, budget), ""),
        }


def _tried(search: Search, record: TrialRecord) -> Iterator[Tried]:
    """What a search learns from a trial."""
    if record.state == "failed":
        yield Tried(Proposal(record.point, record.settings), None)
    for one in record.samplings:
        yield Tried(Proposal(one.point, one.settings), search.value(one.metrics))
