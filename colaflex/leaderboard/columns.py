"""Which metrics a table shows, and their values as people read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from colaflex.interfaces.metric import Measurement
from colaflex.leaderboard.board import Board
from colaflex.leaderboard.references import Reference
from colaflex.leaderboard.standings import Entry, Table
from colaflex.metrics.catalogue import MetricInfo
from colaflex.metrics.likelihood import signed
from colaflex.metrics.names import describe
from colaflex.metrics.numbers import MISSING, compact, decimals, interval, number, unit_text

__all__ = ["Column", "columns", "cost_texts", "place_text"]

_ARROWS = {"higher": "↑", "lower": "↓", "real": "≈"}
Metrics = Mapping[str, Measurement]


@dataclass(frozen=True, slots=True)
class Column:
    """One metric down a table, all values with as many decimals."""

    metric: str
    info: MetricInfo
    arrow: str
    places: int | None

    @property
    def unit(self) -> str:
        """As printed in the head."""
        return unit_text(self.info.unit)

    @property
    def head(self) -> str:
        """Label, unit and arrow in one line."""
        label = f"{self.info.label}, {self.unit}" if self.unit else self.info.label
        return f"{label} {self.arrow}".rstrip()

    def value(self, metrics: Metrics, likelihood: str = "exact") -> str:
        """The value, with its sign if it is a bound or an estimate, or a dash."""
        if self.metric not in metrics:
            return MISSING
        text = number(metrics[self.metric].value, self.info.unit, self.places)
        return signed(self.metric, text, likelihood)

    def interval(self, metrics: Metrics) -> str:
        """The bounds, or ""."""
        if self.metric not in metrics:
            return ""
        return interval(metrics[self.metric], self.info.unit, self.places)


def columns(
    board: Board, metric: str, tables: Sequence[Table], beside: Sequence[Reference] = ()
) -> list[Column]:
    """What ranks, then what the board shows as far as any row has it."""
    rows: list[Entry | Reference] = [row for table in tables for row in table.rows]
    better = {table.metric: table.better for table in tables}
    shown = []
    for name in dict.fromkeys([metric, *board.metrics]):
        measured = [row.metrics[name] for row in rows if name in row.metrics]
        if not measured and name != metric:
            continue
        measured += [reference.metrics[name] for reference in beside if name in reference.metrics]
        info = describe(name)
        arrow = _ARROWS.get(better.get(name, info.better or ""), "")
        shown.append(Column(name, info, arrow, decimals(measured, info.unit)))
    return shown


def place_text(entry: Entry) -> str:
    """A rank as it is printed: `=2` for a tie, a dash for none."""
    if entry.rank is None:
        return MISSING
    return f"={entry.rank}" if entry.tie else str(entry.rank)


def cost_texts(entry: Entry) -> list[str]:
    """What a row took: parameters, FLOPs, tokens, seeds (of how many), runs and FLOPs of tuning."""
    of = f" of {len(entry.seeds) + len(entry.missing)}" if entry.missing else ""
    return [
        *map(compact, (entry.parameters, entry.flops, entry.tokens)),
        f"{len(entry.seeds)}{of}",
        str(entry.first.tuning.runs),
        compact(entry.first.tuning.flops),
    ]
