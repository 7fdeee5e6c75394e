"""Figures of which settings matter, alone and in pairs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from colaflex.report.drawing import SERIES, Figure, draw, elide, or_value, plots_available
from colaflex.studies.explanation.explanation import Explanation
from colaflex.studies.page.history_figures import row_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["importance_figure", "interaction_figure", "pair_text"]

_MOST = 12
_SHARE = "% of what the settings explain"
_Row = tuple[str, float, float, float]


def importance_figure(explanation: Explanation, names: Mapping[str, str]) -> Figure | None:
    """The share of what is explained that each setting takes part in."""
    rows = [(names.get(i.name, i.name), i.value, i.low, i.high) for i in explanation.importances]
    return _dots("fig-importance", "Importance of each setting", _SHARE, rows)


def interaction_figure(explanation: Explanation, names: Mapping[str, str]) -> Figure | None:
    """The share that two settings explain only together."""
    rows = [
        (pair_text(i.first, i.second, names), i.share.value, i.share.low, i.share.high)
        for i in explanation.interactions
    ]
    return _dots("fig-interactions", "Interaction of each pair", _SHARE, rows)


def pair_text(first: str, second: str, names: Mapping[str, str]) -> str:
    """Two settings in words."""
    return f"{names.get(first, first)} × {names.get(second, second)}"


def _dots(key: str, title: str, across: str, rows: Sequence[_Row]) -> Figure | None:
    shown = [row for row in rows if math.isfinite(row[1])][:_MOST]
    if not shown or not plots_available():
        return None

    def paint(axes: Axes) -> None:
        for place, (_, value, low, high) in enumerate(shown):
            ends = [100 * or_value(end, value) for end in (low, high)]
            axes.plot(ends, [place, place], color=SERIES[0], lw=2.6, alpha=0.4)
            axes.plot([100 * value], [place], "o", color=SERIES[0], ms=5.5)
        left = min(0.0, *(100 * or_value(row[2], row[1]) for row in shown))
        axes.set_xlim(left=left)
        row_axes(axes, [elide(row[0], 30) for row in shown], across)

    left_out = len(rows) - len(shown)
    note = "bar: 95 % interval" + (f"; {left_out} more in the table" if left_out else "")
    return Figure(title, note, draw(key, title, paint, (5.4, 0.75 + 0.32 * len(shown))))
