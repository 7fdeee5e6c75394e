"""An SQLite index of a board's records: for queries, rebuilt at any time, needed by nothing."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from colaflex.files.writing import write_atomic
from colaflex.leaderboard.board import Board
from colaflex.leaderboard.records import load_records

__all__ = ["write_index"]

TABLES = """
CREATE TABLE records (
  digest TEXT PRIMARY KEY, file TEXT, row TEXT, family TEXT, budget TEXT, seed INTEGER,
  matched INTEGER, parameters INTEGER, flops REAL, tokens INTEGER, steps INTEGER, seconds REAL,
  spec_digest TEXT, data_digest TEXT
);
CREATE TABLE metrics (
  digest TEXT REFERENCES records, name TEXT, value REAL, low REAL, high REAL, n INTEGER,
  PRIMARY KEY (digest, name)
);
"""


def write_index(board: Board, path: Path | None = None) -> Path:
    """Write the index of all records of a board; an older one is replaced.

    Raises:
        UserError: some records are not valid.
    """
    path = path or board.results.with_suffix(".sqlite")
    records = load_records(board)
    with TemporaryDirectory() as folder:
        temporary = Path(folder) / "index.sqlite"
        with closing(sqlite3.connect(temporary)) as base:
            base.executescript(TABLES)
            base.executemany(
                f"INSERT INTO records VALUES ({', '.join('?' * 14)})",  # noqa: S608
                [
                    (
                        *(r.digest, r.file_name, r.row, r.family, r.budget, r.seed),
                        *(r.matched.ok, r.parameters["total"], r.training.flops),
                        *(r.training.tokens, r.training.steps, r.training.seconds),
                        *(r.spec_digest, r.data_digest),
                    )
                    for r in records
                ],
            )
            base.executemany(
                "INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (r.digest, name, m.value, m.low, m.high, m.n)
                    for r in records
                    for name, m in r.metrics.items()
                ],
            )
            base.commit()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, temporary.read_bytes())
    return path
