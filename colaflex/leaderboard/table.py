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
from colaflex.metrics.measurements import finite
from colaflex.metrics.names import describe
from colaflex.metrics.numbers import compact
from colaflex.runtime import terminal
from colaflex.statistics.ranking import Over

__all__ = ["BOUNDED", "ESTIMATED", "OVER", "as_csv", "as_json", "print_standings"]

OVER: Mapping[Over, str] = {
    "seeds": "Ranks and intervals are over seeds: they speak of the methods, on further trainings.",
    "items": "One seed a row: ranks and intervals are of these trained models, and say nothing of "
    "the methods.",
}
"""What a table's ranks say, by what its rows were compared over."""

BOUNDED = "≤: an upper bound of what the column names; the model's own value may be lower."
ESTIMATED = "≈: an estimate along an ODE; the model's own value may be lower or higher."

_BIDI = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_FIXED = ("parameters", "FLOPs", "tokens", "seeds", "tuning runs", "tuning FLOPs")
_NAME = 28
"""Most characters of a row's name in a line of a terminal."""
_HEAD = (
    *("metric", "budget", "rank", "tie", "name", "family", "value", "low", "high", "parameters"),
    *("flops", "tokens", "seeds", "tuning_runs", "reason", "digest"),
    *("seeds_low", "seeds_high", "ranked_over", "bound", "estimate", "tuning_flops"),
)


def as_json(standings: Standings) -> dict[str, Any]:
    """The document of `colaflex leaderboard --json`: ranked rows, the others, references."""
    tables = standings.tables
    rows = [_row_json(row, table) for table in tables for row in table.rows]
    for metric in dict.fromkeys(table.metric for table in tables):
        for one in references([table for table in tables if table.metric == metric]):
            if all(row["name"] != one.name or row["digest"] != one.digest for row in rows):
                rows.append(_reference_json(one))
    return {"board": standings.board.board, "rows": rows}


def _row_json(row: Entry, table: Table) -> dict[str, Any]:
    return {
        "rank": row.rank,
        "tie": row.tie,
        "name": row.name,
        "components": row.components,
        "metrics": _metrics_json(row.metrics),
        "digest": row.digest,
        "over_seeds": _metrics_json(row.over_seeds),
        "likelihood": row.likelihood,
        "bounds": sorted(row.bounds),
        "estimates": sorted(row.estimates),
        "ranked_by": row.metric,
        "ranked_over": None if row.rank is None else table.over,
        "budget": row.budget,
        "family": row.first.family,
        "seeds": row.seeds,
        "missing_seeds": list(row.missing),
        "by_seed": {
            str(seed): metrics[row.metric].value
            for seed, metrics in zip(row.seeds, row.by_seed, strict=True)
            if row.metric in metrics
        },
        "parameters": row.parameters,
        **finite({"flops": row.flops, "tokens": row.tokens}),
        "tuning": row.first.as_json()["tuning"],
        "reason": row.reason,
        "caveats": row.caveats,
    }


def _reference_json(one: Reference) -> dict[str, Any]:
    return {
        "rank": None,
        "tie": False,
        "name": one.name,
        "components": {},
        "metrics": _metrics_json(one.metrics),
        "digest": one.digest,
        "over_seeds": {},
        "likelihood": "none",
        "bounds": [],
        "estimates": [],
        "ranked_over": None,
        "budget": one.budgets[0] if len(one.budgets) == 1 else None,
        "family": "reference",
        "reason": "a reference",
        "caveats": [],
    }


def _metrics_json(metrics: Mapping[str, Measurement]) -> dict[str, dict[str, float | None]]:
    return {name: finite(measured.as_json()) for name, measured in metrics.items()}


def as_csv(standings: Standings) -> str:
    """One line a row, unranked ones and references included; further metrics in columns."""
    shown = list(standings.board.metrics)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*_HEAD, *shown])
    for table in standings.tables:
        for row in table.rows:
            writer.writerow([_field(each) for each in _csv_row(row, table, shown)])
    for metric in dict.fromkeys(table.metric for table in standings.tables):
        for one in references([t for t in standings.tables if t.metric == metric]):
            measured = one.metrics.get(metric)
            head = [metric, " ".join(one.budgets), "", "", one.name, "reference"]
            fixed = [*[""] * 5, "a reference", one.digest, *[""] * 6]
            values = [*_three(measured), *fixed, *_values(one.metrics, shown)]
            writer.writerow([_field(each) for each in [*head, *values]])
    return file.getvalue()


def _csv_row(row: Entry, table: Table, shown: list[str]) -> list[Any]:
    rank, over = ("", "") if row.rank is None else (row.rank, table.over)
    head = [row.metric, row.budget, rank, row.tie, row.name, row.first.family]
    cost = [row.parameters, row.flops, row.tokens, " ".join(map(str, row.seeds))]
    rest = [row.first.tuning.runs, row.reason, row.digest]
    seeds = [*_three(row.over_seeds.get(row.metric))[1:], over]
    signs = [row.metric in row.bounds, row.metric in row.estimates]
    values, tuned = _three(row.metrics.get(row.metric)), [row.first.tuning.flops]
    return [*head, *values, *cost, *rest, *seeds, *signs, *tuned, *_values(row.metrics, shown)]


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


def print_standings(standings: Standings, file: TextIO, width: int | None = None) -> None:
    """Print every table: ranks, values with intervals, what each row cost and why some lack a rank.

    No text of a record is taken for markup, turns the line's direction or passes controls on.

    Args:
        standings: of a board.
        file: where to; the columns that don't fit a terminal are left out, and a line says which.
        width: of a terminal, in characters; by default that of `file`, if it is one.
    """
    from rich.text import Text

    console = terminal.console(file)
    if width is None and console.is_terminal:
        width = console.width
    for table in standings.tables:
        beside = references([table])
        shown = columns(standings.board, table.metric, [table], beside)
        console.print(Text(_title(standings, table), style="bold"))
        left_out = _print_table(console, table, shown, beside, width)
        if left_out:
            remark = f"no room for: {', '.join(left_out)} (--json, --csv and --html have all)"
            console.print(Text(remark), soft_wrap=True)
        for line in _meaning(table, shown):
            console.print(Text(line))
        for line in _remarks(table):
            console.print(Text(_plain(line)), soft_wrap=True)
        console.print()


def _print_table(
    console: Any, table: Table, shown: list[Column], beside: list[Reference], width: int | None
) -> list[str]:
    """Print it, and tell the heads of the columns that the width has no room for."""
    from rich import box
    from rich.cells import cell_len
    from rich.table import Table as Grid
    from rich.text import Text

    also = any(row.over_seeds for row in table.rows)
    both = ["over items"] if also else []
    first, *rest = (column.head for column in shown)
    heads = ["rank", "row", first, *both, *rest, *_FIXED]
    lines = [
        [
            place_text(row),
            _plain(row.name),
            *_both(shown[0], row)[: 1 + also],
            *(_cell(c, row.shown, row.likelihood) for c in shown[1:]),
            *cost_texts(row),
        ]
        for row in table.rows
    ]
    styles = [None if row.rank else "dim" for row in table.rows]
    for one in beside:
        cells = [_cell(column, one.metrics) for column in shown]
        cells[1:1] = [""] if also else []
        lines.append(["", _plain(one.label), *cells, *("" for _ in _FIXED)])
        styles.append("dim italic")
    count = len(heads) if width is None else _fitting(heads, lines, width)
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False)
    grid.add_column("rank", justify="right", no_wrap=True)
    name = None if width is None else min(_NAME, max(cell_len(line[1]) for line in lines))
    grid.add_column("row", overflow="fold", min_width=name, max_width=name)
    for head in heads[2:count]:
        grid.add_column(Text(head), justify="right")
    for line, style in zip(lines, styles, strict=True):
        grid.add_row(*map(Text, line[:count]), style=style)
    unbounded = console.options.update(max_width=10_000)
    if width is None:  # rows stay whole in files and pipes
        console.width = max(console.width, console.measure(grid, options=unbounded).maximum)
    else:
        console.width = width
    console.print(grid)
    return heads[count:]


def _fitting(heads: list[str], lines: list[list[str]], width: int) -> int:
    """How many of the columns, from the left, fit a width with their cells unbroken.

    Heads break between words. Rank, row and what ranks are shown in any case.
    """
    from rich.cells import cell_len

    used = 2
    for count, head in enumerate(heads):
        words = max(cell_len(word) for word in head.split())
        wide = max([words, *(cell_len(line[count]) for line in lines)])
        used += (min(wide, _NAME) if count == 1 else wide) + (3 if count else 0)
        if used > width:
            return max(count, 3)
    return len(heads)


def _both(column: Column, row: Entry) -> list[str]:
    """What ranks: with its interval over seeds where there are several, and that over items."""
    items = _ends(column, row.metrics) if row.over_seeds and row.metric in row.first.items else ""
    return [_cell(column, row.shown, row.likelihood), items]


def _cell(column: Column, metrics: Mapping[str, Measurement], likelihood: str = "exact") -> str:
    return f"{column.value(metrics, likelihood)} {_ends(column, metrics)}".rstrip()


def _ends(column: Column, metrics: Mapping[str, Measurement]) -> str:
    ends = column.interval(metrics).replace(" – ", ", ").replace(" to ", ", ")
    return f"[{ends}]" if ends else ""


def _title(standings: Standings, table: Table) -> str:
    board = standings.board
    label = describe(table.metric).label
    budget = board.budgets.get(table.budget, math.nan)
    return _plain(
        f"{board.title or board.board}: {label}, budget {table.budget} ({compact(budget)} FLOPs)"
    )


def _meaning(table: Table, shown: list[Column]) -> list[str]:
    """What a reader must know of the ranks and the values."""
    metrics = {column.metric for column in shown}
    said = [OVER[table.over]] if table.ranked else []
    bounds = any(row.bounds & metrics for row in table.rows)
    estimates = any(row.estimates & metrics for row in table.rows)
    return [*said, *[BOUNDED] * bounds, *[ESTIMATED] * estimates]


def _remarks(table: Table) -> list[str]:
    """What a reader must know of single rows."""
    unranked = [f"{row.name}: not ranked: {row.reason}" for row in table.rows if row.reason]
    lacking = [
        f"{row.name}: lacks seed {', '.join(map(str, row.missing))}"
        for row in table.rows
        if row.missing
    ]
    marred = [f"{row.name}: {one}" for row in table.rows for one in row.caveats]
    return [*unranked, *lacking, *marred]


def _plain(text: str) -> str:
    return _BIDI.sub("\ufffd", " ".join(text.split()))
