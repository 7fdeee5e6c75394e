"""Figures of a leaderboard: what quality costs, what it leaves of diversity, how rows scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from colaflex.interfaces.metric import Measurement
from colaflex.leaderboard.board import Board
from colaflex.leaderboard.standings import Entry, Table
from colaflex.leaderboard.tradeoffs import Point, front_line
from colaflex.metrics.likelihood import sign
from colaflex.metrics.names import describe
from colaflex.metrics.numbers import compact
from colaflex.report.drawing import (
    COLOURS,
    SERIES,
    Figure,
    Label,
    axis_title,
    capital,
    draw,
    elide,
    ends,
    log_axis,
    plots_available,
    scale_of,
    with_errors,
    write_labels,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Looks", "diversity_figure", "pareto_figure", "scaling_figure", "speed_figure"]

_MARKERS = ("o", "s", "^", "D", "v", "P")
_SIZE = (8.2, 4.5)
_BETTER = {"higher": "higher is better", "lower": "lower is better"}


class Looks:
    """Colour and marker of every row, the same in all figures."""

    def __init__(self, names: Sequence[str]) -> None:
        self._places = {name: place for place, name in enumerate(dict.fromkeys(names))}

    def __call__(self, name: str) -> tuple[str, str]:
        """(colour, marker) of a row."""
        place = self._places.get(name, 0)
        return SERIES[place % len(SERIES)], _MARKERS[place // len(SERIES) % len(_MARKERS)]


@dataclass(frozen=True)
class _Axis:
    """A metric at an axis: its scale and what is written beside it."""

    metric: str

    @property
    def scale(self) -> float:
        """Shares stand in percent."""
        return scale_of(describe(self.metric))

    @property
    def text(self) -> str:
        """Label and unit."""
        return axis_title(describe(self.metric))

    def at(self, measured: Measurement) -> float:
        """Where a value stands."""
        return self.scale * measured.value


def pareto_figure(key: str, tables: Sequence[Table], board: Board, looks: Looks) -> Figure | None:
    """Quality against training FLOPs, with the rows that none beats in both joined by a line.

    Rows of one budget count as equal in FLOPs: how far off they are within the board's tolerance is
    no merit.
    """
    rows = [row for table in tables for row in table.ranked]
    if len(rows) < 2 or not plots_available():
        return None
    up = _Axis(tables[0].metric)
    sign = 1.0 if tables[0].better == "higher" else -1.0

    def paint(axes: Axes) -> None:
        labels = []
        for row in rows:
            colour, marker = looks(row.name)
            y, error = with_errors(row.shown[row.metric], up.scale)
            axes.errorbar([row.flops], [y], yerr=error, color=colour, fmt="none", alpha=0.5, lw=1.2)
            axes.plot([row.flops], [y], marker, color=colour, ms=6.5, zorder=3)
            labels.append(Label(row.flops, y, _name(row), colour))
        nominal = [board.budgets[row.budget] for row in rows]
        best = front_line(
            [(x, label.y) for x, label in zip(nominal, labels, strict=True)], -1.0, sign
        )
        _front(axes, [(labels[i].x, labels[i].y) for i in best], "post")
        _finish(axes, "training FLOPs of a run", up.text)
        _compute_axis(axes, tables, board)
        write_labels(axes, [replace(label, bold=i in best) for i, label in enumerate(labels)])

    title = f"{describe(up.metric).label} against training compute"
    note = (
        f"{_BETTER[tables[0].better]}; bars: 95 % intervals over {tables[0].over}; bold, dashed: "
        "best values at their compute"
    )
    return Figure(capital(title), note, draw(key, title, paint, _SIZE))


def speed_figure(
    key: str, quality: str, sign: float, rows: Mapping[str, Sequence[Point]], looks: Looks
) -> Figure | None:
    """Quality against tokens a second, over numbers of steps, with the front of all settings."""
    known = {name: points for name, points in rows.items() if points}
    if len(known) < 2 or not plots_available():
        return None
    up = _Axis(f"generation.{quality}")
    every = [(point.x.value, up.at(point.y)) for points in known.values() for point in points]

    def paint(axes: Axes) -> None:
        labels = []
        for name, points in known.items():
            colour, marker = looks(name)
            xs, ys = [p.x.value for p in points], [up.at(p.y) for p in points]
            axes.plot(xs, ys, "-", color=colour, lw=1.1, alpha=0.7)
            axes.plot(xs, ys, marker, color=colour, ms=5)
            best = max(range(len(ys)), key=lambda i: sign * ys[i])
            labels.append(Label(xs[best], ys[best], elide(name), colour))
        best_of_all = [every[i] for i in front_line(every, 1.0, sign)]
        _front(axes, best_of_all, "pre")
        log_axis(axes.xaxis)
        _finish(axes, "generated tokens a second", up.text)
        write_labels(axes, labels)

    title = f"{describe(up.metric).label} against speed of generation"
    note = "lines join numbers of steps; dashed: settings that none beats in both"
    return Figure(capital(title), note, draw(key, title, paint, _SIZE))


def diversity_figure(
    key: str,
    metrics: tuple[str, str],
    sign: float,
    rows: Mapping[str, Sequence[Point]],
    real: tuple[Measurement | None, Measurement | None],
    looks: Looks,
) -> Figure | None:
    """The frontier of quality and diversity of each row over guidance and temperature.

    Args:
        key: unique on the page.
        metrics: quality and diversity, without their family.
        sign: 1 where more quality is better, -1 where less is.
        rows: what `frontier` found, by name of row.
        real: quality and diversity of real text.
        looks: of the rows.
    """
    known = {name: points for name, points in rows.items() if points}
    if all(len(points) < 2 for points in known.values()) or not plots_available():
        return None
    up, across = (_Axis(f"generation.{metric}") for metric in metrics)

    def paint(axes: Axes) -> None:
        labels = []
        for name, points in known.items():
            colour, marker = looks(name)
            places = [(across.at(p.x), up.at(p.y)) for p in points]
            axes.plot(*zip(*places, strict=True), marker, color=colour, ms=3.5, alpha=0.35, mew=0)
            best = [places[i] for i in front_line(places, 1.0, sign)]
            axes.plot(*zip(*best, strict=True), "-", color=colour, lw=1.6, marker=marker, ms=5)
            labels.append(Label(*max(best, key=lambda place: sign * place[1]), elide(name), colour))
        quality, diversity = real
        if quality and diversity and math.isfinite(quality.value * diversity.value):
            place = across.at(diversity), up.at(quality)
            axes.plot(*([each] for each in place), "D", color=COLOURS["ink"], ms=7, zorder=4)
            labels.append(Label(*place, "Real text", COLOURS["ink"], bold=True))
        _finish(axes, across.text, up.text)
        write_labels(axes, labels)

    title = f"{describe(up.metric).label} against {describe(across.metric).label}"
    note = "each point a setting; lines join those that no other of the row beats in both"
    return Figure(capital(title), note, draw(key, title, paint, _SIZE))


def scaling_figure(key: str, tables: Sequence[Table], board: Board, looks: Looks) -> Figure | None:
    """The metric over training FLOPs, a line a row with its interval as a band."""
    courses: dict[str, list[Entry]] = {}
    for table in tables:
        for row in table.ranked:
            courses.setdefault(row.name, []).append(row)
    courses = {name: rows for name, rows in courses.items() if len(rows) > 1}
    if not courses or not plots_available():
        return None
    up = _Axis(tables[0].metric)

    def paint(axes: Axes) -> None:
        labels = []
        for name, rows in courses.items():
            colour, marker = looks(name)
            rows = sorted(rows, key=lambda row: row.flops)
            x, measured = [row.flops for row in rows], [row.shown[row.metric] for row in rows]
            low, high = ([up.scale * ends(m)[side] for m in measured] for side in (0, 1))
            axes.fill_between(x, low, high, color=colour, alpha=0.12, lw=0)
            axes.plot(x, [up.at(m) for m in measured], "-", color=colour, marker=marker, ms=5)
            labels.append(Label(x[-1], up.at(measured[-1]), _name(rows[-1]), colour))
        _finish(axes, "training FLOPs of a run", up.text)
        _compute_axis(axes, tables, board)
        write_labels(axes, labels)

    title = f"{describe(up.metric).label} over training compute"
    note = f"{_BETTER[tables[0].better]}; bands: 95 % intervals over {tables[0].over}"
    return Figure(capital(title), note, draw(key, title, paint, _SIZE))


def _compute_axis(axes: Axes, tables: Sequence[Table], board: Board) -> None:
    """FLOPs, with a tick at each budget; of a single one, as far as the board's tolerance goes."""
    budgets = {board.budgets[t.budget]: t.budget for t in tables if t.ranked}
    if len(budgets) > 1:
        log_axis(axes.xaxis)
        labels = [f"{compact(flops)}\n{elide(name, 16)}" for flops, name in budgets.items()]
        axes.set_xticks(list(budgets), labels)
        return
    (flops,), off = budgets, board.tolerance.flops
    marks = {1 - off: f"−{100 * off:g} %", 1.0: compact(flops), 1 + off: f"+{100 * off:g} %"}
    axes.set_xticks([flops * mark for mark in marks], list(marks.values()))
    axes.set_xlim(flops * (1 - 1.5 * off), flops * (1 + 1.5 * off))


def _front(
    axes: Axes, places: Sequence[tuple[float, float]], where: Literal["pre", "post"]
) -> None:
    """The places that none beats, joined by dashed steps."""
    x, y = zip(*places, strict=True)
    axes.step(x, y, where=where, color=COLOURS["muted"], lw=1.0, ls=(0, (4, 3)), zorder=1)


def _finish(axes: Axes, across: str, up: str) -> None:
    axes.grid(axis="both")
    axes.margins(0.12)
    axes.set_xlabel(across)
    axes.set_ylabel(up)


def _name(row: Entry) -> str:
    """A row's name, marked where its value is a bound or an estimate."""
    mark = sign(row.metric, row.likelihood).strip()
    return elide(row.name) + (f" ({mark})" if mark else "")
