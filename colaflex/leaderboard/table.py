"""Standings for the terminal, as CSV and as JSON."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping
from typing import Any, TextIO

from colaflex.interfaces.metric import Measurement
from colaflex.leaderboard.columns import Column, columns, cost_texts, place_text
from colaflex.leaderboard.references import Reference, references
from colaflex.leaderboard.standings import Entry, Standings, Table
from colaflex.report.metrics import describe
from colaflex.report.numbers import compact

__all__ = ["as_csv", "as_json", "print_standings"]

_BIDI = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_FIXED = ("parameters", "FLOPs", "tokens", "seeds", "tuning runs")
_HEAD = (
    *("metric", "budget", "rank", "tie", "name", "family", "value", "low", "high", "parameters"),
    *("flops", "tokens", "seeds", "tuning_runs", "reason", "digest"),
)


def as_json(standings: Standings) -> dict[str, Any]:
    """The document of `colaflex leaderboard --json`: ranked rows, the others, references."""
    tables = standings.tables
    rows = [_row_json(row) for row in standings.rows]
    for metric in dict.fromkeys(table.metric for table in tables):
        for one in references([table for table in tables if table.metric == metric]):
            if all(row["name"] != one.name or row["digest"] != one.digest for row in rows):
                rows.append(_reference_json(one))
    return {"board": standings.board.board, "rows": rows}


def _row_json(row: Entry) -> dict[str, Any]:
    return {
        "rank": row.rank,
        "tie": row.tie,
        "name": row.name,
        "components": row.components,
        "metrics": _metrics_json(row.metrics),
        "digest": row.digest,
        "ranked_by": row.metric,
        "budget": row.budget,
        "family": row.first.family,
        "seeds": row.seeds,
        "missing_seeds": list(row.missing),
        "parameters": row.parameters,
        "flops": _finite(row.flops),
        "tokens": _finite(row.tokens),
        "tuning": dict(row.first.tuning),
        "reason": row.reason,
    }


def _reference_json(one: Reference) -> dict[str, Any]:
    return {
        "rank": None,
        "tie": False,
        "name": one.name,
        "components": {},
        "metrics": _metrics_json(one.metrics),
        "digest": one.digest,
        "budget": one.budgets[0] if len(one.budgets) == 1 else None,
        "family": "reference",
        "reason": "a reference",
    }


def _metrics_json(metrics: Mapping[str, Measurement]) -> dict[str, dict[str, float | None]]:
    return {
        name: {key: _finite(value) for key, value in measured.as_json().items()}
        for name, measured in metrics.items()
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def as_csv(standings: Standings) -> str:
    """One line a row, unranked ones and references included; further metrics in columns."""
    shown = list(standings.board.metrics)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*_HEAD, *shown])
    for table in standings.tables:
        for row in table.rows:
            writer.writerow([_field(each) for each in _csv_row(row, shown)])
    for metric in dict.fromkeys(table.metric for table in standings.tables):
        for one in references([t for t in standings.tables if t.metric == metric]):
            measured = one.metrics.get(metric)
            head = [metric, " ".join(one.budgets), "", "", one.name, "reference"]
            fixed = ["", "", "", "", "", "a reference", one.digest]
            values = [*_three(measured), *fixed, *_values(one.metrics, shown)]
            writer.writerow([_field(each) for each in [*head, *values]])
    return file.getvalue()


def _csv_row(row: Entry, shown: list[str]) -> list[Any]:
    rank = "" if row.rank is None else row.rank
    head = [row.metric, row.budget, rank, row.tie, row.name, row.first.family]
    cost = [row.parameters, row.flops, row.tokens, " ".join(map(str, row.seeds))]
    rest = [row.first.tuning.get("runs", ""), row.reason, row.digest]
    return [*head, *_three(row.metrics.get(row.metric)), *cost, *rest, *_values(row.metrics, shown)]


def _three(measured: Measurement | None) -> list[float | str]:
    if measured is None:
        return ["", "", ""]
    three = (measured.value, measured.low, measured.high)
    return ["" if math.isnan(each) else each for each in three]


def _values(metrics: Mapping[str, Measurement], shown: list[str]) -> list[float | str]:
    return [_three(metrics.get(name))[0] for name in shown]


def _field(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula gets an apostrophe."""
    formula = isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r")
    return f"'{value}" if formula else value


def print_standings(standings: Standings, file: TextIO) -> None:
    """Print every table: ranks, values with intervals, what each row cost and why some lack a rank.

    No text of a record is taken for markup, turns the line's direction or passes controls on.
    """
    from rich.console import Console
    from rich.text import Text

    console = Console(file=file, highlight=False)
    for table in standings.tables:
        beside = references([table])
        shown = columns(standings.board, table.metric, [table], beside)
        console.print(Text(_title(standings, table), style="bold"))
        _print_table(console, table, shown, beside)
        for line in _remarks(table):
            console.print(Text(_plain(line)), soft_wrap=True)
        console.print()


def _print_table(console: Any, table: Table, shown: list[Column], beside: list[Reference]) -> None:
    from rich import box
    from rich.table import Table as Grid
    from rich.text import Text

    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False)
    grid.add_column("rank", justify="right", no_wrap=True)
    grid.add_column("row", overflow="fold")
    for head in (*(column.head for column in shown), *_FIXED):
        grid.add_column(Text(head), justify="right")
    for row in table.rows:
        cells = [_cell(column, row.metrics) for column in shown]
        line = [place_text(row), _plain(row.name), *cells, *cost_texts(row)]
        grid.add_row(*map(Text, line), style=None if row.rank else "dim")
    for one in beside:
        cells = [_cell(column, one.metrics) for column in shown]
        line = ["", _plain(one.label), *cells, *("" for _ in _FIXED)]
        grid.add_row(*map(Text, line), style="dim italic")
    unbounded = console.options.update(max_width=10_000)
    if not console.is_terminal:  # rows stay whole in files and pipes
        console.width = max(console.width, console.measure(grid, options=unbounded).maximum)
    console.print(grid)


def _cell(column: Column, metrics: Mapping[str, Measurement]) -> str:
    bounds = column.interval(metrics).replace(" – ", ", ").replace(" to ", ", ")
    return f"{column.value(metrics)} [{bounds}]" if bounds else column.value(metrics)


def _title(standings: Standings, table: Table) -> str:
    board = standings.board
    label = describe(table.metric).label
    budget = board.budgets.get(table.budget, math.nan)
    return _plain(
        f"{board.title or board.board}: {label}, budget {table.budget} ({compact(budget)} FLOPs)"
    )


def _remarks(table: Table) -> list[str]:
    """What a reader must know of single rows."""
    unranked = [f"{row.name}: not ranked: {row.reason}" for row in table.rows if row.reason]
    lacking = [
        f"{row.name}: lacks seed {', '.join(map(str, row.missing))}"
        for row in table.rows
        if row.missing
    ]
    return [*unranked, *lacking]


def _plain(text: str) -> str:
    return _BIDI.sub("\ufffd", " ".join(text.split()))
