"""Figures of the objective over the searched settings: slices of each, contours of all pairs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from colaflex.intervals import Floats
from colaflex.report.figures import Figure
from colaflex.report.numbers import tick
from colaflex.report.style import COLOURS, SERIES, draw, elide, plots_available
from colaflex.studies.comparisons import objective
from colaflex.studies.goals import GoalText
from colaflex.studies.knobs import Knob, value_text
from colaflex.studies.smoothing import smooth
from colaflex.studies.trials import TrialRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FEWEST", "Bands", "bands_of", "contour_figures", "slice_figures"]

FEWEST = 10
"""Trials without which nothing is fitted to a pair."""

_MARKERS = ("o", "s", "^", "D", "v", "P")
_BAND = 7
_PAIRS = 15


@dataclass(frozen=True, slots=True)
class Bands:
    """Shades of an objective: edges from worst to best, darker is better."""

    edges: tuple[float, ...]

    @property
    def shades(self) -> list[float]:
        """Opacity of each band; also of what is beyond the first and the last edge."""
        count = len(self.edges) + 1
        return [0.04 + 0.74 * place / (count - 1) for place in range(count)]

    def shade(self, value: float) -> float:
        """The opacity of a value."""
        rising = self.edges[-1] >= self.edges[0]
        beyond = sum(value >= edge if rising else value <= edge for edge in self.edges)
        return self.shades[beyond]


def bands_of(values: Sequence[float], sign: float) -> Bands | None:
    """Equal steps from a poor value to the best one; None where all values are the same."""
    known = np.array([value for value in values if math.isfinite(value)])
    if len(known) < 2 or known.min() == known.max():
        return None
    low, high = np.quantile(known, [0.15, 1.0] if sign > 0 else [0.85, 0.0])
    if low == high:
        low = known.min() if sign > 0 else known.max()
    return Bands(tuple(float(edge) for edge in np.linspace(low, high, _BAND + 1)[:-1]))


def slice_figures(
    records: Sequence[TrialRecord],
    knobs: Sequence[Knob],
    partner: Mapping[str, str],
    text: GoalText,
) -> list[Figure]:
    """Of each setting the objective of all complete trials, coloured by another setting.

    Args:
        records: of one arm.
        knobs: the settings.
        partner: path of a setting -> of the one that colours its slice.
        text: of the objective.
    """
    if not plots_available():
        return []
    by_path = {knob.path: knob for knob in knobs}
    figures = []
    for place, knob in enumerate(knobs):
        points = _points(records, knob, text)
        if len(points) < 2:
            continue
        other = by_path.get(partner.get(knob.path, ""))
        note = f"coloured by {other.name}" if other is not None else ""
        svg = draw(f"fig-slice-{place}", knob.path, _Slice(points, knob, other, text), (3.75, 2.8))
        figures.append(Figure(knob.name, note, svg))
    return figures


@dataclass(frozen=True)
class _Slice:
    """Paints one slice."""

    points: Sequence[tuple[float, float, TrialRecord]]
    knob: Knob
    other: Knob | None
    text: GoalText

    def __call__(self, axes: Axes) -> None:
        groups = self._groups()
        self.knob.prepare(axes.xaxis)
        for place, (name, rows) in enumerate(groups):
            step = 0.0 if self.knob.kind == "range" else 0.11 * (place - (len(groups) - 1) / 2)
            axes.plot(
                [x + step for x, _ in rows],
                [y for _, y in rows],
                _MARKERS[place % len(_MARKERS)],
                color=SERIES[place % len(SERIES)],
                ms=4,
                alpha=0.75,
                mew=0,
                label=elide(name, 14) or None,
            )
        axes.set_xlim(*self.knob.limits)
        axes.set_xlabel(elide(self.knob.name, 40))
        axes.set_ylabel(self.text.axis)
        if self.other is not None:
            axes.legend(
                loc="lower left",
                bbox_to_anchor=(-0.02, 1.0),
                ncols=min(4, len(groups)),
                frameon=False,
                fontsize=8,
                handletextpad=0.1,
                columnspacing=0.9,
                borderaxespad=0.1,
            )

    def _groups(self) -> list[tuple[str, list[tuple[float, float]]]]:
        """Trials by the other setting: its levels, or thirds of its range."""
        if self.other is None:
            return [("", [(x, y) for x, y, _ in self.points])]
        other = self.other
        places = [other.place(record.point) for _, _, record in self.points]
        named = [_group(other, place, places) for place in places]
        found: dict[tuple[int, str], list[tuple[float, float]]] = {}
        for key, (x, y, _) in zip(named, self.points, strict=True):
            found.setdefault(key, []).append((x, y))
        return [(name, rows) for (_, name), rows in sorted(found.items())]


def _group(other: Knob, place: float, places: Sequence[float]) -> tuple[int, str]:
    """Which group a trial is in, and what it is called."""
    if not math.isfinite(place):
        return 99, "without"
    if other.kind != "range" and len(other.levels) <= len(SERIES):
        return int(place), value_text(other.levels[int(place)])
    known = np.array([each for each in places if math.isfinite(each)])
    low, high = (float(edge) for edge in np.quantile(known, [1 / 3, 2 / 3]))

    def said(edge: float) -> str:
        if other.kind == "range":
            return tick(float(f"{edge:.2g}"))
        return value_text(other.levels[round(edge)])

    if place <= low:
        return 0, f"≤ {said(low)}"
    return (1, f"to {said(high)}") if place <= high else (2, f"> {said(high)}")


def contour_figures(
    records: Sequence[TrialRecord],
    knobs: Sequence[Knob],
    first: Sequence[frozenset[str]],
    text: GoalText,
    bands: Bands | None,
) -> list[Figure]:
    """The objective over each pair of settings, the pairs that matter most first."""
    if not plots_available() or bands is None:
        return []
    order = {pair: place for place, pair in enumerate(first)}
    pairs = sorted(
        combinations(knobs, 2),
        key=lambda pair: order.get(frozenset((pair[0].path, pair[1].path)), len(order)),
    )
    figures = []
    for place, (across, up) in enumerate(pairs[:_PAIRS]):
        if across.kind != "range" and up.kind == "range":
            across, up = up, across
        rows = [
            (x, up.place(record.point), y)
            for x, y, record in _points(records, across, text)
            if math.isfinite(up.place(record.point))
        ]
        if len(rows) < 2:
            continue
        paint = _Pair(np.array(rows), across, up, bands, text)
        title = f"{across.name} × {up.name}"
        figures.append(
            Figure(title, paint.note, draw(f"fig-pair-{place}", title, paint, (3.75, 2.9)))
        )
    return figures


def _points(
    records: Sequence[TrialRecord], knob: Knob, text: GoalText
) -> list[tuple[float, float, TrialRecord]]:
    """(place, objective as drawn, trial) of the complete trials in which a setting has meaning."""
    found = [
        (knob.place(r.point), text.scale * objective(r, 0, text.goal), r)
        for r in records
        if r.state == "complete"
    ]
    return [row for row in found if math.isfinite(row[0]) and math.isfinite(row[1])]


@dataclass(frozen=True)
class _Pair:
    """Paints a pair: means where both settings have levels, else a smooth fit, else dots alone."""

    rows: Floats
    across: Knob
    up: Knob
    bands: Bands
    text: GoalText

    @property
    def note(self) -> str:
        """What is shown."""
        if self._cells:
            return "mean of the trials, and their number"
        return "dots: trials" if self._fitted else f"dots alone: {self._reason}"

    def __call__(self, axes: Axes) -> None:
        self.across.prepare(axes.xaxis)
        self.up.prepare(axes.yaxis)
        axes.set_xlim(*self.across.limits)
        axes.set_ylim(*self.up.limits)
        axes.set_xlabel(elide(self.across.name, 40))
        axes.set_ylabel(elide(self.up.name, 30))
        axes.grid(visible=False)
        if self._cells:
            self._paint_cells(axes)
            return
        if self._fitted:
            self._paint_fit(axes)
        self._paint_dots(axes)

    @property
    def _cells(self) -> bool:
        return self.across.kind != "range" and self.up.kind != "range"

    @property
    def _reason(self) -> str:
        return f"fewer than {FEWEST}" if len(self.rows) < FEWEST else "no order to fit along"

    @property
    def _fitted(self) -> bool:
        return len(self.rows) >= FEWEST and "categories" not in (self.across.kind, self.up.kind)

    def _paint_cells(self, axes: Axes) -> None:
        cells: dict[tuple[float, float], list[float]] = {}
        for x, y, value in self.rows:
            cells.setdefault((float(x), float(y)), []).append(float(value))
        for (x, y), values in cells.items():
            mean = math.fsum(values) / len(values)
            shade = self.bands.shade(mean)
            axes.fill_between(
                [x - 0.48, x + 0.48], y - 0.48, y + 0.48, color=SERIES[0], alpha=shade, lw=0
            )
            axes.text(x, y, tick(float(f"{mean:.3g}")), ha="center", va="bottom", fontsize=9)
            axes.text(
                x, y, f"n {len(values)}", ha="center", va="top", fontsize=7, color=COLOURS["muted"]
            )

    def _paint_fit(self, axes: Axes) -> None:
        units = np.array([[self.across.unit(x), self.up.unit(y)] for x, y, _ in self.rows])
        steps = np.linspace(0, 1, 41)
        fitted = smooth(units, self.rows[:, 2], steps)
        if fitted is None:
            return
        edges, shades = self.bands.edges, self.bands.shades
        rising = edges[-1] >= edges[0]
        xs = [self.across.at(float(u)) for u in steps]
        ys = [self.up.at(float(u)) for u in steps]
        # One layer for each shade: matplotlib's own opacity for a list of colours is in the list.
        from matplotlib.colors import to_rgba

        ordered = shades if rising else shades[::-1]
        axes.contourf(
            xs,
            ys,
            fitted,
            levels=sorted(edges),
            colors=[to_rgba(SERIES[0], shade) for shade in ordered],
            extend="both",
        )

    def _paint_dots(self, axes: Axes) -> None:
        for x, y, value in self.rows:
            face = SERIES[0] if not self._fitted else COLOURS["panel"]
            shade = 0.15 + self.bands.shade(value) if not self._fitted else 0.9
            axes.plot([x], [y], "o", color=face, alpha=min(1.0, shade), ms=4.2, mew=0)
            axes.plot([x], [y], "o", mfc="none", mec=COLOURS["ink"], alpha=0.6, ms=4.2, mew=0.7)
        sign = self.text.goal.sign
        best = self.rows[int(np.argmax(sign * self.rows[:, 2]))]
        axes.plot([best[0]], [best[1]], "o", mfc="none", mec=SERIES[1], ms=9, mew=1.6)
