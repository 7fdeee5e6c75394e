"""The records of a board: read, checked, added."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from colaflex.errors import UserError
from colaflex.leaderboard.board import Board
from colaflex.leaderboard.record import Record, read_record, write_record
from colaflex.leaderboard.record_checks import record_problems

__all__ = ["add_records", "check_records", "checked_record", "load_records", "record_files"]

SHOWN = 20


def record_files(board: Board) -> list[Path]:
    """The files of a board's records, in order of their names."""
    return sorted(path for path in board.results.glob("*.json") if not path.name.startswith("."))


def load_records(board: Board) -> list[Record]:
    """All records of a board, in order of row, budget and seed; none is not an error.

    Raises:
        UserError: some files are no valid records of it, or two are of the same cell: which, and
            why.
    """
    files = record_files(board)
    records = check_records(board, files)
    cells: dict[str, Path] = {}
    for path, record in zip(files, records, strict=True):
        if path.name != record.file_name:
            raise UserError(f"{path}: a record's file is named {record.file_name}; rename it")
        if record.cell in cells:
            raise UserError(
                f"{path}: there are two records of {record.cell}, the other one is "
                f"{cells[record.cell].name}; move one away"
            )
        cells[record.cell] = path
    digests = {record.data_digest for record in records}
    if len(digests) > 1:
        named = ", ".join(sorted(digest[:12] for digest in digests))
        raise UserError(f"{board.results}: the records were made on different data ({named})")
    budgets = list(board.budgets)
    return sorted(records, key=lambda r: (r.row, budgets.index(r.budget), r.seed))


def check_records(board: Board, paths: Iterable[Path]) -> list[Record]:
    """The records in files.

    Raises:
        UserError: lists everything that is wrong, with file and key.
    """
    records, problems = [], []
    for path in paths:
        record, wrong = checked_record(board, path)
        problems += wrong
        if record is not None:
            records.append(record)
    if problems:
        more = f"\n... and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise UserError("\n".join(problems[:SHOWN]) + more)
    return records


def checked_record(board: Board, path: Path) -> tuple[Record | None, list[str]]:
    """A record from a file and what is wrong with it; None where anything is."""
    try:
        data = read_record(path)
    except UserError as error:
        return None, [str(error)]
    problems = [f"{path}: {problem}" for problem in record_problems(board, data)]
    if problems:
        return None, problems
    return Record.model_validate(data), []


def add_records(board: Board, paths: Iterable[Path]) -> list[Path]:
    """Check records and copy them to a board's results; all of them or none.

    Raises:
        UserError: something is wrong with them.
    """
    return [write_record(record, board.results) for record in check_records(board, paths)]
