"""The figure of a prior's losses by noise level, with the law of the times that it learned from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from colaflex.interfaces.metric import Measurement
from colaflex.metrics.names import describe, place
from colaflex.report.drawing import COLOURS, SERIES, Figure, capital, draw, plots_available
from colaflex.report.training_times import TimesLaw

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["loss_by_noise"]


def loss_by_noise(metrics: Mapping[str, Measurement], law: TimesLaw | None) -> list[Figure]:
    """One figure for the error of clean latents, one for what their content costs, if there.

    Args:
        metrics: of a run.
        law: of the training times, which is drawn beside, where it is known.
    """
    if not plots_available():
        return []
    by_metric: dict[str, list[tuple[float, Measurement]]] = {}
    for name, value in metrics.items():
        placed = place(name)
        if placed.family == "denoising" and placed.axis == "logit_time" and placed.at is not None:
            by_metric.setdefault(placed.metric, []).append((placed.at, value))
    figures = []
    for number, (metric, points) in enumerate(by_metric.items()):
        info = describe(f"denoising.{metric}")
        title = capital(info.label)
        svg = draw(f"fig-denoising-{number}", title, _Curve(sorted(points), law), (3.75, 2.45))
        figures.append(Figure(title, info.unit, svg))
    return figures


class _Curve:
    """Paints values over logit t, and how often training draws such a t."""

    def __init__(self, points: list[tuple[float, Measurement]], law: TimesLaw | None) -> None:
        self.points, self.law = points, law

    def __call__(self, axes: Axes) -> None:
        x = np.array([at for at, _ in self.points])
        measurements = [m for _, m in self.points]
        value, low, high = (
            np.array([getattr(m, part) for m in measurements]) for part in ("value", "low", "high")
        )
        axes.fill_between(x, low, high, color=SERIES[0], alpha=0.2, linewidth=0)
        axes.plot(x, value, color=SERIES[0], marker="o", markersize=3)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("logit t: data on the left, noise on the right")
        if self.law is not None:
            fine = np.linspace(x[0], x[-1], 200)
            density = self.law.density(fine)
            height = 0.35 * axes.get_ylim()[1] * density / density.max()
            axes.fill_between(fine, height, color=COLOURS["muted"], alpha=0.25, linewidth=0)
