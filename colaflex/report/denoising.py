"""The figure of a prior's losses by noise level, with the law of the times that it learned from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from colaflex.interfaces.metric import Measurement
from colaflex.metrics.names import describe, place
from colaflex.report.drawing import COLOURS, SERIES, Figure, capital, draw, plots_available

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["loss_by_noise"]


def loss_by_noise(metrics: Mapping[str, Measurement], schedule: object) -> list[Figure]:
    """One figure for the error of clean latents, one for what their content costs, if there.

    Args:
        metrics: of a run.
        schedule: the prior's, whose law is drawn beside, where it is a map that says it.
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
        svg = draw(f"fig-denoising-{number}", title, _Curve(sorted(points), schedule), (3.75, 2.45))
        figures.append(Figure(title, info.unit, svg))
    return figures


class _Curve:
    """Paints values over logit t, and how often training draws such a t."""

    def __init__(self, points: list[tuple[float, Measurement]], schedule: object) -> None:
        self.points, self.schedule = points, schedule

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
        if isinstance(self.schedule, Mapping):
            fine = np.linspace(x[0], x[-1], 200)
            law = _law(fine, self.schedule)
            top = axes.get_ylim()[1]
            axes.fill_between(
                fine, 0.35 * top * law / law.max(), color=COLOURS["muted"], alpha=0.25, linewidth=0
            )


def _law(logit: Any, schedule: Mapping[str, Any]) -> Any:
    """The density of the training times' logits."""
    if schedule.get("distribution") == "uniform":
        return 1.0 / (4.0 * np.cosh(logit / 2.0) ** 2)
    loc, scale = float(schedule.get("loc", 1.0)), float(schedule.get("scale", 1.0))
    return np.exp(-0.5 * ((logit - loc) / scale) ** 2)
