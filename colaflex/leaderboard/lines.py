"""A board's tables as they stand on the page: lines with cells, strips, filters and anchors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from colaflex.interfaces.metric import Measurement
from colaflex.leaderboard.board import Board
from colaflex.leaderboard.columns import Column, columns, cost_texts, place_text
from colaflex.leaderboard.references import Reference, references
from colaflex.leaderboard.standings import Entry, Standings, Table
from colaflex.metrics.catalogue import MetricInfo
from colaflex.metrics.names import describe
from colaflex.metrics.numbers import MISSING, compact
from colaflex.report.drawing import ends
from colaflex.statistics.ranking import Over

__all__ = ["FILTERS", "Block", "Cell", "Group", "Line", "PairRow", "Strip", "groups_of"]

FILTERS = ("prior", "representation", "segmenter", "baseline", "family", "budget")
_NONE = "none"


@dataclass(frozen=True, slots=True)
class Cell:
    """A value in a table.

    Attributes:
        value: as printed.
        interval: over seeds where there are several, else over items.
        sort: the number that it sorts by; "" for none.
        also: the interval over items, where the other is over seeds; or real text of as many words.
    """

    value: str
    interval: str = ""
    sort: str = ""
    also: str = ""


@dataclass(frozen=True, slots=True)
class Strip:
    """Intervals drawn in a line: places from 0 to 100 on the scale of its table.

    `outer` is the interval over seeds; where there is one seed, that over items again.
    """

    low: float
    value: float
    high: float
    outer: tuple[float, float]
    seeds: tuple[float, ...]
    real: float | None


@dataclass(frozen=True)
class Line:
    """A row of the main table."""

    entry: Entry
    anchor: str
    place: str
    parts: list[str]
    filters: dict[str, str]
    cells: list[Cell]
    strip: Strip | None
    costs: list[Cell]


@dataclass(frozen=True)
class PairRow:
    """A row of the table of pairs: p against each row above, whether they differ, whose pair."""

    name: str
    place: str
    cells: list[tuple[str, bool, str]]


@dataclass(frozen=True)
class Block:
    """The lines of one budget; `over`: what its rows were compared over."""

    budget: str
    over: Over
    flops: str
    lines: list[Line]
    pairs: list[PairRow]


@dataclass(frozen=True)
class Group:
    """All that is ranked by one metric; `real`: whether real text has a place in its strips."""

    metric: str
    info: MetricInfo
    better: str
    columns: list[Column]
    blocks: list[Block]
    references: list[tuple[Reference, list[Cell], Strip | None]]
    real: bool
    tables: list[Table]


def groups_of(standings: Standings) -> list[Group]:
    """The tables by metric, in the board's order."""
    metrics = dict.fromkeys(table.metric for table in standings.tables)
    return [
        _group(standings.board, [t for t in standings.tables if t.metric == metric])
        for metric in metrics
    ]


def _group(board: Board, tables: list[Table]) -> Group:
    metric, beside = tables[0].metric, references(tables)
    shown = columns(board, metric, tables, beside)
    beside = [one for one in beside if any(column.metric in one.metrics for column in shown)]
    scale = _Scale.of(metric, tables, beside)
    blocks = [
        Block(
            table.budget,
            table.over,
            compact(board.budgets.get(table.budget, math.nan)),
            [_line(row, shown, scale) for row in table.rows],
            _pair_rows(table),
        )
        for table in tables
    ]
    return Group(
        metric,
        describe(metric),
        tables[0].better,
        shown,
        blocks,
        [(one, _cells(one.metrics, shown), scale.strip(one.metrics)) for one in beside],
        scale.real is not None,
        tables,
    )


def _line(row: Entry, shown: Sequence[Column], scale: _Scale) -> Line:
    parts = {kind: row.components.get(kind, _NONE) for kind in FILTERS[:4]}
    named = [name for name in parts.values() if name not in (_NONE, row.name)]
    seeds = [metrics[row.metric].value for metrics in row.by_seed if row.metric in metrics]
    return Line(
        entry=row,
        anchor=f"row-{row.digest[:16]}",
        place=place_text(row),
        parts=named or [row.first.family],
        filters={**parts, "family": row.first.family, "budget": row.budget},
        cells=_row_cells(row, shown),
        strip=scale.strip(row.metrics, row.shown, seeds),
        costs=_costs(row),
    )


def _cells(metrics: Mapping[str, Measurement], shown: Sequence[Column]) -> list[Cell]:
    return [
        Cell(
            column.value(metrics),
            column.interval(metrics),
            _sort(metrics[column.metric].value) if column.metric in metrics else "",
        )
        for column in shown
    ]


def _row_cells(row: Entry, shown: Sequence[Column]) -> list[Cell]:
    """Of a row: with signs of bounds and estimates, and of what ranks both intervals."""
    cells = [
        replace(cell, value=column.value(row.metrics, row.likelihood))
        for column, cell in zip(shown, _cells(row.shown, shown), strict=True)
    ]
    if row.over_seeds and row.metric in row.first.items:
        cells[0] = replace(cells[0], also=f"items {shown[0].interval(row.metrics)}")
    return [_beside_real(row, *each) for each in zip(shown, cells, strict=True)]


def _beside_real(row: Entry, column: Column, cell: Cell) -> Cell:
    """A figure that hangs on how much text there is, beside real text of as much."""
    real = row.metrics.get(column.metric.replace("generation.", "generation.real.", 1))
    if not column.info.sized or real is None or cell.also:
        return cell
    return replace(cell, also=f"real {column.value({column.metric: real})}")


def _costs(row: Entry) -> list[Cell]:
    numbers = *map(_sort, (row.parameters, row.flops, row.tokens)), str(len(row.seeds))
    tuning = row.first.tuning
    sorts = *numbers, str(tuning.runs), _sort(tuning.flops)
    return [Cell(text, "", sort) for text, sort in zip(cost_texts(row), sorts, strict=True)]


def _sort(value: float) -> str:
    return f"{value:.9g}" if math.isfinite(value) else ""


def _pair_rows(table: Table) -> list[PairRow]:
    """Of each ranked row the p against every one above it."""
    names = [row.name for row in table.ranked]
    pairs = []
    for index, row in enumerate(table.ranked):
        cells = [
            (_p_text(table.p_of(row.name, o)), table.differ(row.name, o), f"{o} against {row.name}")
            for o in names[:index]
        ]
        pairs.append(PairRow(row.name, place_text(row), cells))
    return pairs


def _p_text(p: float | None) -> str:
    if p is None:
        return MISSING
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


@dataclass(frozen=True, slots=True)
class _Scale:
    """The common scale of a metric's strips: models fill it, references may fall off it."""

    metric: str
    low: float
    high: float
    real: float | None

    @classmethod
    def of(cls, metric: str, tables: Sequence[Table], beside: Sequence[Reference]) -> _Scale:
        rows = [row.shown[metric] for table in tables for row in table.rows if metric in row.shown]
        edges = [edge for m in rows for edge in (m.low, m.value, m.high) if math.isfinite(edge)]
        real = next(
            (o.metrics[metric].value for o in beside if o.name == "real" and metric in o.metrics),
            None,
        )
        if real is not None and math.isfinite(real):
            edges.append(real)
        low, high = (min(edges), max(edges)) if edges else (0.0, 1.0)
        margin = 0.04 * ((high - low) or abs(high) or 1.0)
        return cls(metric, low - margin, high + margin, real)

    def strip(
        self,
        metrics: Mapping[str, Measurement],
        over_seeds: Mapping[str, Measurement] | None = None,
        seeds: Sequence[float] = (),
    ) -> Strip | None:
        """A measurement on the scale; None where there is none or it is far off."""
        measured = metrics.get(self.metric)
        if measured is None or not self.low <= measured.value <= self.high:
            return None
        low, high = self._ends(measured)
        return Strip(
            low,
            self._place(measured.value),
            high,
            self._ends((over_seeds or metrics)[self.metric]),
            tuple(self._place(value) for value in seeds if math.isfinite(value)),
            None if self.real is None or not math.isfinite(self.real) else self._place(self.real),
        )

    def _ends(self, measured: Measurement) -> tuple[float, float]:
        low, high = ends(measured)
        return self._place(low), self._place(high)

    def _place(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(100 * min(1.0, max(0.0, share)), 2)
