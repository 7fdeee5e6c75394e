"""Figures of what was measured: dot plots of rows, curves of sweeps, quality against diversity."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING

from colaflex.interfaces.metric import Measurement
from colaflex.metrics.catalogue import DIVERSITY, QUALITY, MetricInfo
from colaflex.metrics.names import describe, short_label
from colaflex.metrics.numbers import tick
from colaflex.report.drawing import (
    COLOURS,
    SERIES,
    Figure,
    Label,
    axis_label,
    axis_title,
    capital,
    draw,
    elide,
    ends,
    log_axis,
    plots_available,
    scale_of,
    spread,
    with_errors,
    write_labels,
)
from colaflex.report.tables import Generation, Sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["quality_diversity", "row_plots", "sweep_plots"]

MODEL, REAL, OTHER = SERIES[0], SERIES[1], COLOURS["muted"]
_AXES = {
    "steps": "solver steps per block",
    "drawn_steps": "solver steps per block, estimates drawn",
    "guidance": "guidance g",
    "temperature": "temperature of the tokens",
    "renoise": "share of fresh noise",
    "noise_temperature": "standard deviation of the noise",
    "estimate_temperature": "temperature of drawn estimates",
}


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
        size = 3.75, 0.6 + 0.21 * len(known)
        svg = draw(key, f"{info.label} by source", _Dots(known, info), size)
        figures.append(Figure(info.label, _direction(info), svg))
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
        for place, (row, measurement) in enumerate(self.rows.items()):
            colour = _row_colour(row)
            low, high = ends(measurement)
            axes.plot([scale * low, scale * high], [place, place], color=colour, lw=2.2, alpha=0.45)
            axes.plot([scale * measurement.value], [place], "o", color=colour, ms=5.5)
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
            row: measurement.value
            for row in ("real", "trigram", "bigram")
            if (measurement := generation.beside(row, metric, points[0][1].n))
            and math.isfinite(measurement.value)
        }
        svg = draw(
            f"fig-{sweep.axis}-{len(figures)}",
            f"{info.label} over {sweep.label}",
            _Curve(sweep, points, guides, info),
        )
        figures.append(Figure(info.label, _direction(info), svg))
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
        y = [scale * measurement.value for _, measurement in self.points]
        low, high = ([scale * ends(m)[side] for _, m in self.points] for side in (0, 1))
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


def quality_diversity(generation: Generation, sweeps: Sequence[Sweep]) -> Figure | None:
    """Quality against diversity; None where the model lacks either, or there is no matplotlib."""
    quality = next((m for m in QUALITY if generation.at("model", m)), None)
    diversity = next((m for m in DIVERSITY if generation.at("model", m)), None)
    if quality is None or diversity is None or not plots_available():
        return None
    texts = next((m.n for sweep in sweeps for _, m in sweep.points(diversity)), 0)
    across, up = describe(f"generation.{diversity}"), describe(f"generation.{quality}")

    def paint(axes: Axes) -> None:
        tradeoff = _Tradeoff(axes, (diversity, quality), (scale_of(across), scale_of(up)))
        labels = tradeoff.rows(generation, texts)
        for sweep, colour in zip(sweeps, cycle(SERIES[2:]), strict=False):
            labels += tradeoff.path(sweep, colour)
        axes.grid(axis="both")
        axes.margins(0.1)
        axes.set_xlabel(axis_title(across))
        axes.set_ylabel(axis_title(up))
        write_labels(axes, labels)

    title = capital(f"{up.label} against {across.label}")
    svg = draw("fig-tradeoff", title, paint, (8.2, 4.5))
    return Figure(title, "real text is the goal: nearer is better", svg)


@dataclass(frozen=True)
class _Tradeoff:
    """Paints points of (diversity, quality) and returns the labels they want."""

    axes: Axes
    metrics: tuple[str, str]
    scales: tuple[float, float]

    def rows(self, generation: Generation, texts: int) -> list[Label]:
        """A point, with intervals in both directions, for each source of text.

        Beside points of a sweep, which are of `texts` texts, only what compares with them.
        """
        labels = []
        for row in generation.rows:
            first, second = (
                generation.beside(row, metric, texts) if texts else generation.at(row, metric)
                for metric in self.metrics
            )
            if not (first and second and math.isfinite(first.value * second.value)):
                continue
            x, x_error = with_errors(first, self.scales[0])
            y, y_error = with_errors(second, self.scales[1])
            colour, big = _row_colour(row), row in ("model", "real")
            self.axes.errorbar(
                [x], [y], xerr=x_error, yerr=y_error, color=colour, fmt="none", alpha=0.5, lw=1.2
            )
            marker, size = ("D" if row == "real" else "o"), (8.0 if big else 5.5)
            self.axes.plot([x], [y], marker, color=colour, ms=size, zorder=3 if big else 2)
            ink = colour if big else COLOURS["muted"]
            labels.append(Label(x, y, short_label(row), ink, row == "model"))
        return labels

    def path(self, sweep: Sweep, colour: str) -> list[Label]:
        """The points of a sweep joined in order; its first and last carry their setting."""
        first, second = (dict(sweep.points(metric)) for metric in self.metrics)
        shared = sorted(set(first) & set(second))
        if len(shared) < 2:
            return []
        x = [self.scales[0] * first[at].value for at in shared]
        y = [self.scales[1] * second[at].value for at in shared]
        self.axes.plot(x, y, "-o", color=colour, ms=3.5, lw=1.1)
        named = "".join(f"g {tick(value)}, " for _, value in sweep.fixed)
        named += "T" if sweep.fixed else sweep.label
        return [
            Label(x[end], y[end], elide(f"{named} {tick(shared[end])}", 20), colour)
            for end in (0, -1)
        ]


def _direction(info: MetricInfo) -> str:
    """Which way is better, in words."""
    words = {"higher": "higher is better", "lower": "lower is better", "real": "like real text"}
    return words[info.better] if info.better else ""


def _row_colour(row: str) -> str:
    """The model's and real text's colours; all others stay in the background."""
    return {"model": MODEL, "real": REAL}.get(row, OTHER)
