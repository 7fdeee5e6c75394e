"""What each lever of a recipe is worth: python benchmarks/leave_one_out.py [--workers 2] [--write].

Two boards, benchmarks/boards/levers_worlds.yaml and levers_bible.yaml, have the recipe as their
first row and, as each further one, the recipe with one lever switched off. This runs their cells as
`colaflex bench run` does, whatever is recorded aside, and prints a table of each: of the ranked
metric and those shown, by how much the recipe is better than the row, seed by seed, so that a value
above 0 speaks for the lever. --write puts the tables into docs/levers.md; --read trains nothing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from page_tables import write_table

from colaflex.files.yaml import write_yaml
from colaflex.interfaces.metric import Measurement
from colaflex.leaderboard.board import Board
from colaflex.leaderboard.record import Record
from colaflex.leaderboard.records import load_records
from colaflex.metrics.catalogue import MetricInfo
from colaflex.metrics.names import describe
from colaflex.metrics.numbers import MISSING
from colaflex.statistics.significance import seeds_interval

ROOT = Path(__file__).resolve().parent.parent
BOARDS = ("levers_worlds", "levers_bible")
PAGE = ROOT / "docs/levers.md"
SIGNS = {"higher": 1.0, "lower": -1.0}


def worth(records: Sequence[Record], full: str, row: str, metric: str, sign: float) -> Measurement:
    """What a lever is worth: the recipe's metric less that of the row without it, over seeds.

    Args:
        records: of the board.
        full: name of the recipe's row.
        row: name of the row without the lever.
        metric: that is compared.
        sign: 1 where more is better, -1 where less is.

    Returns:
        The mean of the seeds' differences with Student's interval; n is the number of seeds.
    """
    by_row: dict[str, dict[int, float]] = {full: {}, row: {}}
    for record in records:
        if record.row in by_row and metric in record.metrics:
            by_row[record.row][record.seed] = record.metrics[metric].value
    seeds = sorted(by_row[full].keys() & by_row[row].keys())
    return seeds_interval([sign * (by_row[full][seed] - by_row[row][seed]) for seed in seeds])


def table(board: Board, records: Sequence[Record]) -> Iterator[str]:
    """The lines of a board's table: what is worth most first, what has no records last."""
    first, *levers = board.rows
    directions = {one.metric: one.direction for one in board.rank}
    signs = {
        name: SIGNS[better]
        for name in board.metrics
        if (better := directions.get(name) or describe(name).better) in SIGNS
    }
    metrics = list(signs)
    heads = [_head(describe(name)) for name in metrics]
    yield f"| lever | switched off by | {' | '.join(heads)} | seeds |"
    yield "|" + "---|" * (len(heads) + 3)
    known = {
        row: [worth(records, first, row, name, signs[name]) for name in metrics] for row in levers
    }
    for row in sorted(levers, key=lambda row: (not known[row][0].n, -known[row][0].value)):
        cells = [_cell(*each) for each in zip(known[row], map(describe, metrics), strict=True)]
        off = "; ".join(f"`{line}`" for line in _switched(board, row))
        yield f"| {row.replace('_', ' ')} | {off} | {' | '.join(cells)} | {known[row][0].n} |"


def _switched(board: Board, row: str) -> list[str]:
    """What a row sets, a line each."""
    lines = []
    for path, value in board.rows[row].set.items():
        given = value if isinstance(value, dict) else {path: value}
        inside = f"{path}." if isinstance(value, dict) else ""
        lines += [f"{inside}{write_yaml({key: one}).strip()}" for key, one in given.items()]
    return lines


def _head(info: MetricInfo) -> str:
    unit = "points" if info.unit == "share" else info.unit
    return f"{info.label}, {unit}" if unit else info.label


def _cell(measured: Measurement, info: MetricInfo) -> str:
    if not measured.n:
        return MISSING
    scale, places = (100.0, 1) if info.unit == "share" else (1.0, 3)
    value, low, high = (
        f"{scale * each:+.{places}f}" for each in (measured.value, measured.low, measured.high)
    )
    return value if measured.n < 2 else f"{value} [{low}, {high}]"


def main() -> None:
    """Run both boards, or those that are named, and print or write their tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--boards", default=",".join(BOARDS), help="names or paths, with commas")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--minutes", type=float, help="of each board")
    parser.add_argument("--read", action="store_true", help="only read the records")
    parser.add_argument("--write", action="store_true", help=f"put the tables into {PAGE.name}")
    parser.add_argument("--page", type=Path, default=PAGE, help="that page")
    given = parser.parse_args()
    failed = False
    for name in given.boards.split(","):
        path = Path(name) if name.endswith(".yaml") else ROOT / f"benchmarks/boards/{name}.yaml"
        if not given.read:
            command = [sys.executable, "-m", "colaflex", "bench", "run", str(path)]
            command += ["--workers", str(given.workers)]
            command += [] if given.minutes is None else ["--minutes", str(given.minutes)]
            failed |= subprocess.run(command, cwd=ROOT, check=False).returncode != 0
        board = Board.load(path)
        lines = list(table(board, load_records(board)))
        if given.write:
            write_table(given.page, board.board, lines)
        print("\n".join([board.title, "", *lines, ""]))
    sys.exit(failed)


if __name__ == "__main__":
    main()
