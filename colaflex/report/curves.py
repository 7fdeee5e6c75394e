"""Figures of the course of training: losses, settings of the optimiser, latent statistics."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from colaflex.metrics.measurements import as_number
from colaflex.metrics.numbers import number, tick
from colaflex.report.drawing import COLOURS, SERIES, Figure, draw, elide, log_axis, plots_available

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["StageCurves", "course", "loss_curves"]

Floats = NDArray[np.float64]
Records = Sequence[Mapping[str, Any]]

_LABELS = {
    "lr": ("learning rate", ""),
    "learning_rate": ("learning rate", ""),
    "tokens_per_second": ("throughput", "tokens/s"),
    "gradient_norm": ("gradient norm", ""),
    "log_snr": ("logSNR", "nats"),
}
_NOT_SERIES = {"step", "stage", "time", "seconds", "loss", "tokens", "epoch", "flops"}
_POINTS = 600
_SMOOTHING = 0.012  # of a curve's length: standard deviation of the window


@dataclass(frozen=True, slots=True)
class StageCurves:
    """The losses of one stage."""

    stage: str
    figures: list[Figure]


def loss_curves(history: Records, limit: int = 9) -> list[StageCurves]:
    """Of each stage, the total loss and every term, raw and smoothed, over its steps."""
    if not plots_available():
        return []
    stages = []
    for number_, (stage, records) in enumerate(_stages(history).items()):
        terms = dict.fromkeys(key for r in records for key in r if _is_term(key))
        figures: list[Figure] = []
        for key in ("loss", *terms):
            steps, values = _series(records, key)
            if len(values) < 2 or len(figures) >= limit:
                continue
            label = "total loss" if key == "loss" else _words(key.removeprefix("terms/"))
            svg = draw(
                f"fig-loss-{number_}-{len(figures)}",
                f"{label} of stage {stage}",
                _Loss(steps, values),
                (3.75, 2.2),
            )
            figures.append(Figure(label, "", svg))
        if figures:
            stages.append(StageCurves(stage, figures))
    return stages


@dataclass(frozen=True)
class _Loss:
    """Paints one loss: raw values lightly, a running mean over them, its last value in numbers."""

    steps: Floats
    values: Floats

    def __call__(self, axes: Axes) -> None:
        smooth = _smooth(self.values)
        x, raw = _thin(self.steps, self.values)
        axes.plot(x, raw, color=SERIES[0], lw=0.7, alpha=0.35)
        x, mean = _thin(self.steps, smooth)
        axes.plot(x, mean, color=SERIES[0])
        if self.values.min() > 0 and self.values.max() > 8 * self.values.min():
            log_axis(axes.yaxis)
        else:
            axes.locator_params(axis="y", nbins=5)
        _end_label(axes, float(x[-1]), float(mean[-1]), number(float(mean[-1])), SERIES[0])
        axes.set_xlabel("step")
        axes.set_ylabel("loss")
        _compact_steps(axes)


def course(history: Records) -> tuple[list[Figure], list[Figure]]:
    """What else was recorded, over all stages in turn: (optimiser and speed, the rest)."""
    if not plots_available() or not history:
        return [], []
    stages = _stages(history)
    offsets, bounds, end = {}, [], 0.0
    for stage, records in stages.items():
        steps, _ = _series(records, "step")
        start = float(steps[0]) if len(steps) else 0.0
        offsets[stage] = end if start < end else 0.0
        end = offsets[stage] + (float(steps[-1]) if len(steps) else 0.0)
        bounds.append((stage, end))
    keys = dict.fromkeys(key for record in history for key in record)
    settings: list[Figure] = []
    statistics: list[Figure] = []
    for key in keys:
        if key in _NOT_SERIES or _is_term(key):
            continue
        lines = [_series(records, key, offsets[stage]) for stage, records in stages.items()]
        if sum(len(values) for _, values in lines) < 2:
            continue
        label, unit = _LABELS.get(
            re.split("[./]", key)[-1], (_words(key.removeprefix("terms/")), "")
        )
        home = settings if key in _LABELS else statistics
        svg = draw(
            f"fig-course-{len(settings) + len(statistics)}",
            f"{label} over training",
            _Course(lines, bounds, unit or label),
            (3.75, 2.1),
        )
        home.append(Figure(label, "", svg))
    return settings, statistics[:12]


@dataclass(frozen=True)
class _Course:
    """Paints one recorded quantity across stages; each stage named where it begins."""

    lines: Sequence[tuple[Floats, Floats]]
    bounds: Sequence[tuple[str, float]]
    unit: str

    def __call__(self, axes: Axes) -> None:
        start, total = 0.0, self.bounds[-1][1] or 1.0
        for index, ((steps, values), (stage, end)) in enumerate(
            zip(self.lines, self.bounds, strict=True)
        ):
            colour = SERIES[index % len(SERIES)]
            if len(values):
                axes.plot(*_thin(steps, values), color=colour, lw=1.3)
            if index:
                axes.axvline(start, color=COLOURS["rule"], lw=0.8)
            axes.annotate(
                elide(stage, max(5, round(52 * (end - start) / total))),
                ((start + end) / 2, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(0, 4),
                textcoords="offset points",
                ha="center",
                color=colour,
                fontsize=8.5,
            )
            start = end
        axes.locator_params(axis="y", nbins=4)
        axes.set_xlabel("step")
        axes.set_ylabel(elide(self.unit, 24))
        _compact_steps(axes)
        # Whatever was recorded, all stages are in view: a name outside would squeeze the axes.
        axes.set_xlim(-0.01 * total, 1.01 * total)
        axes.yaxis.set_major_formatter(lambda value, _: tick(value))


def _is_term(key: str) -> bool:
    """Whether it is a part of the loss; what is recorded of the latents is none."""
    return key.startswith("terms/") and not key.startswith("terms/latent_")


def _stages(history: Records) -> dict[str, list[Mapping[str, Any]]]:
    stages: dict[str, list[Mapping[str, Any]]] = {}
    for record in history:
        stages.setdefault(str(record.get("stage", "training")), []).append(record)
    return stages


def _series(records: Records, key: str, offset: float = 0.0) -> tuple[Floats, Floats]:
    """Steps and values of all records that hold a finite number under the key."""
    pairs = []
    for index, record in enumerate(records):
        step, value = as_number(record.get("step", index)), as_number(record.get(key))
        if math.isfinite(step) and math.isfinite(value):
            pairs.append((step + offset, value))
    steps, values = zip(*pairs, strict=True) if pairs else ((), ())
    return np.array(steps, dtype=np.float64), np.array(values, dtype=np.float64)


def _smooth(values: Floats) -> Floats:
    """Running mean under a Gaussian window, which does not lag behind a steep curve."""
    width = max(1.0, _SMOOTHING * len(values))
    reach = int(3 * width)
    window = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    total = np.convolve(values, window)[reach : reach + len(values)]
    weight = np.convolve(np.ones_like(values), window)[reach : reach + len(values)]
    return np.asarray(total / weight)


def _thin(steps: Floats, values: Floats) -> tuple[Floats, Floats]:
    """At most about `_POINTS` points that keep every spike: lowest and highest of each bin."""
    if len(values) <= _POINTS:
        return steps, values
    keep = {0, len(values) - 1}
    for part in np.array_split(np.arange(len(values)), _POINTS // 2):
        keep |= {int(part[values[part].argmin()]), int(part[values[part].argmax()])}
    chosen = sorted(keep)
    return steps[chosen], values[chosen]


def _end_label(axes: Axes, x: float, y: float, text: str, colour: str) -> None:
    """A value written at the right end of its curve."""
    axes.annotate(
        text,
        (x, y),
        xytext=(5, 0),
        textcoords="offset points",
        va="center",
        color=colour,
        fontweight="bold",
        fontsize=8.5,
        annotation_clip=False,
    )


def _compact_steps(axes: Axes) -> None:
    axes.margins(x=0.01)
    axes.locator_params(axis="x", nbins=6)
    axes.xaxis.set_major_formatter(
        lambda value, _: f"{value / 1000:g}k" if abs(value) >= 1000 else f"{value:g}"
    )


def _words(key: str) -> str:
    return elide(re.sub("[./]", " · ", key.replace("_", " ")), 40)
