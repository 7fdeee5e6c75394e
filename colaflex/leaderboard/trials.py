"""The trials of a row's tuning: read from its committed records, and what follows from them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from colaflex.errors import UserError
from colaflex.files.json_problems import json_problems
from colaflex.leaderboard.board import Board
from colaflex.leaderboard.cells import Trial, job_spec, tuning_of
from colaflex.leaderboard.record import Measured, read_record
from colaflex.leaderboard.record_checks import excesses
from colaflex.leaderboard.trial_record import SamplingResult, TrialRecord
from colaflex.leaderboard.tuning_plan import spec_settings
from colaflex.metrics.names import describe
from colaflex.metrics.rank import Direction
from colaflex.spec import Spec
from colaflex.spec.canonical import sha256_of

__all__ = ["Search", "Winner", "load_search", "load_winners", "terms_of", "trial_files"]

STEPS = re.compile(r"training\.stages\.[a-z0-9_]+\.steps")
KEYS = tuple(field.alias or name for name, field in TrialRecord.model_fields.items())


@dataclass(frozen=True)
class Winner:
    """What tuning has chosen for a row.

    Attributes:
        settings: over the row's own recipe, values by key path.
        trial: the record that they stand in.
        metric: that it was chosen by.
        value: of that metric, on validation.
        trials: how many there were.
        flops: model FLOPs of them all.
    """

    settings: Mapping[str, Any]
    trial: TrialRecord
    metric: str
    value: float
    trials: int
    flops: float


class Search:
    """The trials of one row at one budget.

    Args:
        board: that tunes its rows.
        row: name of the row.
        budget: at which it is tuned.
        records: of its trials, by number.
    """

    def __init__(
        self, board: Board, row: str, budget: str, records: Mapping[int, TrialRecord]
    ) -> None:
        self.board, self.row, self.budget = board, row, budget
        self.plan = tuning_of(board)
        self.records = {n: records[n] for n in sorted(records) if n < self.plan.trials}

    @property
    def next(self) -> int | None:
        """The first number that has no trial; None where all are done."""
        return next((n for n in range(self.plan.trials) if n not in self.records), None)

    @property
    def flops(self) -> float:
        """Model FLOPs of all trials."""
        return math.fsum(record.flops for record in self.records.values())

    def ranked_by(self) -> tuple[str, Direction]:
        """The board's first ranking metric that all complete trials have, and its direction."""
        measured = [one.metrics for record in self._complete() for one in record.samplings]
        for rank in self.board.rank:
            if all(rank.metric in metrics for metrics in measured):
                return rank.metric, rank.direction
        last = self.board.rank[-1]
        return last.metric, last.direction

    def value(self, metrics: Mapping[str, Measured]) -> float | None:
        """What ranks of some metrics; None where it is missing."""
        metric, _ = self.ranked_by()
        return metrics[metric].value if metric in metrics else None

    @property
    def winner(self) -> Winner | None:
        """The best of all trials, once they are done; None before, and where all have failed.

        Equal ones are told apart by the board's further metrics, in its order; then the first wins.
        """
        if self.next is not None:
            return None
        every = [(one, record) for record in self._complete() for one in record.samplings]
        every = [pair for pair in every if self.value(pair[0].metrics) is not None]
        if not every:
            return None
        best, trial = max(every, key=lambda pair: self._merit(pair[0]))  # of equal ones the first
        metric, _ = self.ranked_by()
        value = best.metrics[metric].value
        return Winner(best.settings, trial, metric, value, len(self.records), self.flops)

    def _complete(self) -> list[TrialRecord]:
        return [record for record in self.records.values() if record.state == "complete"]

    def _merit(self, one: SamplingResult) -> tuple[float, ...]:
        metric, direction = self.ranked_by()
        directed = {rank.metric: rank.direction for rank in self.board.rank}
        merits = [_signed(one.metrics, metric, direction)]
        for name in self.board.metrics:
            better = directed.get(name) or describe(name).better
            if name != metric and better in ("higher", "lower") and not name.startswith("speed."):
                merits.append(_signed(one.metrics, name, better))
        return tuple(merits)


def _signed(metrics: Mapping[str, Measured], name: str, better: str) -> float:
    if name not in metrics:
        return -math.inf
    value = metrics[name].value
    return value if better == "higher" else -value


def trial_files(board: Board, row: str, budget: str) -> list[Path]:
    """The files of a row's trials at a budget, in order of their names."""
    folder = board.results / "tuning" / row
    return sorted(folder.glob(f"{budget}-[0-9]*.json"))


def load_search(board: Board, row: str, budget: str, data_digest: str = "") -> Search:
    """The trials of a row that are recorded.

    Args:
        board: that tunes its rows.
        row: name of the row.
        budget: at which it is tuned.
        data_digest: of the data that they should have been made on; "" takes their own.

    Raises:
        UserError: a file is no valid trial of it, or was made on other terms than it has now.
    """
    records: dict[int, TrialRecord] = {}
    for path in trial_files(board, row, budget):
        record = _checked(board, row, budget, path, data_digest)
        if record.number in records:
            other = records[record.number].file_name
            raise UserError(
                f"{path}: there are two records of trial {record.number}, the other one is "
                f"{other}; move one away"
            )
        records[record.number] = record
    return Search(board, row, budget, records)


def terms_of(board: Board, row: str, budget: str, data_digest: str) -> dict[str, Any]:
    """What must be the same for trials to belong to one search, as plain data."""
    plan, own = tuning_of(board), board.rows[row]
    trial = job_spec(board, Trial(row, budget, 0), {})
    terms = {
        "protocol": board.trial_protocol(data_digest),
        "recipe": trial.digest(data_digest),
        "stage1_flops": board.stage1_share(row),
        "width": own.width,
        "fine": own.fine,
        "fidelity": plan.fidelity,
        "samplings": plan.samplings,
        "space": board.spaces[row].described(),
    }
    plain: dict[str, Any] = json.loads(json.dumps(terms))
    return plain


def _checked(board: Board, row: str, budget: str, path: Path, data_digest: str) -> TrialRecord:
    data = read_record(path)
    problems = list(excesses(data))
    if not problems:
        try:
            record = TrialRecord.model_validate(data)
        except ValidationError as error:
            problems = list(json_problems(error, KEYS))
        else:
            problems = _problems(board, row, budget, path, record)
    if problems:
        raise UserError("\n".join(f"{path}: {problem}" for problem in problems))
    if data_digest and record.data_digest != data_digest:
        raise UserError(
            f"{path}: was made on other data than the board has now: the corpus or its tokenizer "
            f"has changed (digest {record.data_digest[:12]}, now {data_digest[:12]}). Bring the "
            "data back as it was, or move the row's trials away"
        )
    now = terms_of(board, row, budget, record.data_digest)
    if stale := list(_stale(record.terms, now)):
        raise UserError(
            f"{path}: a trial on other terms than the row {row} has now ({', '.join(stale)} "
            f"changed): move the row's trials away to tune it anew, or bring back what was"
        )
    return record


def _problems(board: Board, row: str, budget: str, path: Path, record: TrialRecord) -> list[str]:
    content = {key: value for key, value in record.as_json().items() if key != "digest"}
    digest = sha256_of(content)
    if digest != record.digest:
        return [f"digest: the content has {digest[:12]}, not {record.digest[:12]}: it was changed"]
    if path.name != record.file_name:
        return [f"a trial's file is named {record.file_name}; rename it"]
    for key, expected in (("board", board.board), ("row", row), ("budget", budget)):
        if getattr(record, key) != expected:
            return [f"{key}: {getattr(record, key)!r} is not {expected!r}"]
    if (record.state == "complete") != (bool(record.samplings) and record.training is not None):
        return ["state: a complete trial has training and samplings, a failed one has none"]
    asked = tuning_of(board).fidelity * board.budgets[budget]
    if record.matched is not None and record.matched.flops.asked != asked:
        return [f"matched.flops: expected asked {asked:.12g}"]
    return list(_unlike(board, record))


def _unlike(board: Board, record: TrialRecord) -> Sequence[str]:
    """In which a complete trial's spec is not the row's with its settings."""
    if record.state == "failed":
        return []
    trial = Trial(record.row, record.budget, record.number)
    try:
        spec = Spec.of_record(record.spec)
        expected = job_spec(board, trial, spec_settings(record.settings))
    except UserError as error:
        return [f"spec: {str(error).splitlines()[0]}"]
    solved = board.rows[record.row].solved_paths(expected)
    return [
        f"spec.{each.path}: {each.right}, but {each.left} by its settings"
        for each in Spec.diff(expected, spec)
        if each.path not in (*solved, "name", "seed") and not STEPS.fullmatch(each.path)
    ]


def _stale(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The terms that differ; of the space, which parameters."""
    nothing = object()
    names = [
        key for key in now if key != "space" and then.get(key, nothing) != now.get(key, nothing)
    ]
    old, new = then.get("space"), now["space"]
    old = old if isinstance(old, dict) else {}
    searched = [
        n for n in dict.fromkeys([*old, *new]) if old.get(n, nothing) != new.get(n, nothing)
    ]
    return [*names, *(f"space.{name}" for name in searched)]


def load_winners(board: Board) -> dict[tuple[str, str], Winner | None]:
    """What the tuning of every row has chosen, by row and budget; None where it is not done.

    Raises:
        UserError: a file is no valid trial of a row as it is now.
    """
    if board.tuning is None:
        return {}
    budgets = dict.fromkeys(board.tuned_at(budget) for budget in board.budgets)
    return {
        (row, budget): load_search(board, row, budget).winner
        for row in board.rows
        for budget in budgets
    }
