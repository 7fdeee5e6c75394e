"""Figures of what was measured: dot plots of rows, curves of sweeps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from colaflex.interfaces.metric import Measurement
from colaflex.metrics.catalogue import MetricInfo
from colaflex.metrics.names import describe, short_label
from colaflex.metrics.numbers import tick
from colaflex.report.sections import Generation, Sweep
from colaflex.report.style import COLOURS, SERIES, draw, log_axis, plots_available, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "Figure",
    "axis_label",
    "direction",
    "or_value",
    "row_colour",
    "row_plots",
    "scale_of",
    "sweep_plots",
]

MODEL, REAL, OTHER = SERIES[0], SERIES[1], COLOURS["muted"]
_AXES = {
    "steps": "solver steps per block",
    "drawn_steps": "solver steps per block, estimates drawn",
    "guidance": "guidance g",
    "temperature": "temperature of the tokens",
}


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of the page: an `<svg>` element with what stands above it."""

    title: str
    note: str
    svg: str


def row_plots(generation: Generation, limit: int = 8) -> list[Figure]:
    """One dot plot a metric: the model beside real text and the samplers, with intervals."""
    if not plots_available():
        return []
    figures: list[Figure] = []
    for metric in generation.metrics:
        rows = {row: generation.at(row, metric) for row in generation.rows}
        known = {row: m for row, m in rows.items() if m and math.isfinite(m.value)}
        if len(known) < 2 or "model" not in known:
            continue
        info = describe(f"generation.{metric}")
        key = f"fig-rows-{len(figures)}"
        svg = draw(
            key, f"{info.label} by source", _Dots(known, info), (3.75, 0.6 + 0.21 * len(known))
        )
        figures.append(Figure(info.label, direction(info), svg))
        if len(figures) == limit:
            break
    return figures


@dataclass(frozen=True)
class _Dots:
    """Paints a dot and an interval for each row, real text as a guide line."""

    rows: Mapping[str, Measurement]
    info: MetricInfo

    def __call__(self, axes: Axes) -> None:
        scale = scale_of(self.info)
        if "real" in self.rows:
            axes.axvline(scale * self.rows["real"].value, color=REAL, lw=0.8, ls=(0, (3, 3)))
        for place, (row, measured) in enumerate(self.rows.items()):
            colour = row_colour(row)
            low, high = (or_value(bound, measured.value) for bound in (measured.low, measured.high))
            axes.plot([scale * low, scale * high], [place, place], color=colour, lw=2.2, alpha=0.45)
            axes.plot([scale * measured.value], [place], "o", color=colour, ms=5.5)
        axes.set_yticks(range(len(self.rows)), [short_label(row) for row in self.rows])
        axes.set_ylim(len(self.rows) - 0.4, -0.6)
        axes.grid(axis="x")
        axes.grid(visible=False, axis="y")
        axes.spines["left"].set_visible(False)
        axes.locator_params(axis="x", nbins=5)
        axes.margins(x=0.06)
        axes.set_xlabel(axis_label(self.info))
        for label, row in zip(axes.get_yticklabels(), self.rows, strict=True):
            label.set_color(COLOURS["ink"] if row == "model" else COLOURS["muted"])
            label.set_fontweight("bold" if row == "model" else "normal")


def sweep_plots(sweep: Sweep, generation: Generation, limit: int = 6) -> list[Figure]:
    """One curve a metric over a swept setting, its interval as a band, other rows as guides."""
    if not plots_available():
        return []
    figures: list[Figure] = []
    for metric in sweep.metrics:
        points = sweep.points(metric)
        if len(points) < 2 or metric == "network_evaluations":
            continue
        info = describe(f"generation.{metric}")
        guides = {
            row: measured.value
            for row in ("real", "trigram", "bigram")
            if (measured := generation.beside(row, metric, points[0][1].n))
            and math.isfinite(measured.value)
        }
        svg = draw(
            f"fig-{sweep.axis}-{len(figures)}",
            f"{info.label} over {sweep.label}",
            _Curve(sweep, points, guides, info),
        )
        figures.append(Figure(info.label, direction(info), svg))
        if len(figures) == limit:
            break
    return figures


@dataclass(frozen=True)
class _Curve:
    """Paints one swept metric."""

    sweep: Sweep
    points: Sequence[tuple[float, Measurement]]
    guides: Mapping[str, float]
    info: MetricInfo

    def __call__(self, axes: Axes) -> None:
        scale = scale_of(self.info)
        by_evaluations = self.sweep.axis.endswith("steps") and bool(self.sweep.evaluations)
        x = [self.sweep.evaluations.get(at, at) if by_evaluations else at for at, _ in self.points]
        y = [scale * measured.value for _, measured in self.points]
        low = [scale * or_value(measured.low, measured.value) for _, measured in self.points]
        high = [scale * or_value(measured.high, measured.value) for _, measured in self.points]
        axes.fill_between(x, low, high, color=MODEL, alpha=0.18, lw=0)
        axes.plot(x, y, "-o", color=MODEL, ms=4)
        if min(x) > 0 and max(x) / min(x) >= 4:
            log_axis(axes.xaxis, base=2.0)
        axes.set_xticks(x, [tick(value) for value in x])
        axes.set_xlabel(
            "network evaluations per block" if by_evaluations else _AXES.get(self.sweep.axis, "")
        )
        axes.set_ylabel(axis_label(self.info))
        bottom, top = min(low), max(high)
        span = (top - bottom) or abs(top) or 1.0
        near = {  # a guide far off would flatten the curve
            row: scale * value
            for row, value in self.guides.items()
            if bottom - 1.2 * span <= scale * value <= top + 1.2 * span
        }
        bottom, top = min([bottom, *near.values()]), max([top, *near.values()])
        margin = 0.06 * ((top - bottom) or 1.0)
        axes.set_ylim(bottom - margin, top + margin)
        _guides(axes, near, gap=1.6 * margin)


def _guides(axes: Axes, guides: Mapping[str, float], gap: float) -> None:
    """Dashed lines at other rows' values, labelled at the right."""
    places = spread(list(guides.values()), gap)
    for (row, value), place in zip(guides.items(), places, strict=True):
        colour = REAL if row == "real" else OTHER
        axes.axhline(value, color=colour, lw=0.9, ls=(0, (4, 3)), zorder=1)
        axes.annotate(
            short_label(row).lower(),
            (1.0, place),
            xycoords=("axes fraction", "data"),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            color=colour,
            fontsize=8.5,
        )


def direction(info: MetricInfo) -> str:
    """Which way is better, in words."""
    words = {"higher": "higher is better", "lower": "lower is better", "real": "like real text"}
    return words[info.better] if info.better else ""


def axis_label(info: MetricInfo) -> str:
    """A metric's unit as it stands at an axis."""
    return {"share": "%"}.get(info.unit, info.unit)


def scale_of(info: MetricInfo) -> float:
    """Shares are drawn in percent."""
    return 100.0 if info.unit == "share" else 1.0


def row_colour(row: str) -> str:
    """The model's and real text's colours; all others stay in the background."""
    return {"model": MODEL, "real": REAL}.get(row, OTHER)


def or_value(bound: float, value: float) -> float:
    """An interval's bound, or the value itself where there is no interval."""
    return bound if math.isfinite(bound) else value
