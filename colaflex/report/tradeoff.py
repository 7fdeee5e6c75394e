"""The figure of quality against diversity, over sweep points and reference rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING

from colaflex.interfaces.metric import Measurement
from colaflex.metrics.catalogue import DIVERSITY, QUALITY
from colaflex.metrics.names import describe, short_label
from colaflex.metrics.numbers import tick
from colaflex.report.figures import (
    Figure,
    axis_label,
    or_value,
    row_colour,
    scale_of,
)
from colaflex.report.labels import Label, write_labels
from colaflex.report.sections import Generation, Sweep
from colaflex.report.style import COLOURS, SERIES, draw, elide, plots_available

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["quality_diversity", "with_errors"]


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
        axes.set_xlabel(", ".join(filter(None, (across.label, axis_label(across)))))
        axes.set_ylabel(", ".join(filter(None, (up.label, axis_label(up)))))
        write_labels(axes, labels)

    title = f"{up.label[:1].upper()}{up.label[1:]} against {across.label}"
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
            colour, big = row_colour(row), row in ("model", "real")
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


def with_errors(measured: Measurement, scale: float) -> tuple[float, list[list[float]]]:
    """A scaled value and how far its interval reaches below and above."""
    low, high = (or_value(bound, measured.value) for bound in (measured.low, measured.high))
    below, above = max(0.0, measured.value - low), max(0.0, high - measured.value)
    return scale * measured.value, [[scale * below], [scale * above]]
