"""Figures of drift: the best value of one setting at each level of another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from colaflex.metrics.numbers import tick
from colaflex.report.drawing import (
    COLOURS,
    SERIES,
    Figure,
    Label,
    draw,
    elide,
    or_value,
    plots_available,
    spread,
)
from colaflex.statistics.intervals import Floats
from colaflex.studies.explanation.explanation import Drift, LevelOptimum
from colaflex.studies.page.goals import GoalText
from colaflex.studies.summary import Law

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["curve_figures", "drift_figure", "level_text"]

_Z = 1.96
_OWN, _LAW, _NULL = SERIES[0], SERIES[1], COLOURS["muted"]


def level_text(level: LevelOptimum) -> str:
    """A level in words."""
    return level.label or tick(level.level)


def drift_figure(
    key: str, drift: Drift, law: Law | None, names: Mapping[str, str], size: tuple[float, float]
) -> Figure | None:
    """The best value at each level with its interval, the fitted line, the law and the null.

    Args:
        key: unique on the page.
        drift: of the best value of one setting.
        law: drawn where it is about these two settings.
        names: short ones of the settings.
        size: in inches.
    """
    levels = [one for one in drift.levels if math.isfinite(one.optimum.value)]
    if len(levels) < 2 or not plots_available():
        return None
    of, along = (elide(names.get(path, path), 40) for path in (drift.of, drift.along))
    law = law if law is not None and (law.of, law.along) == (drift.of, drift.along) else None

    def paint(axes: Axes) -> None:
        labels = _lines(axes, drift, levels, law)
        for one in levels:
            value, colour = one.optimum.value, _OWN
            ends = [or_value(end, value) for end in (one.optimum.low, one.optimum.high)]
            axes.plot([one.level] * 2, ends, color=colour, lw=2.4, alpha=0.45)
            axes.plot([one.level], [value], "o", color=colour, ms=6, mfc=_face(one), mew=1.4)
        if drift.log:
            axes.set_xscale("log")
            axes.minorticks_off()
        axes.set_xticks([one.level for one in levels], [elide(level_text(o), 14) for o in levels])
        axes.margins(x=0.35 / len(levels), y=0.1)
        axes.grid(axis="both")
        axes.set_ylim(*_limits(axes.get_ylim(), levels))
        axes.set_xlabel(along)
        axes.set_ylabel(f"best {of}")
        _write_ends(axes, labels)

    title = f"Best {of} by {along}"
    notes = ["bars: 95 % intervals"]
    if math.isfinite(drift.slope.value):
        notes.append("line: fit with its 95 % band")
    if any(one.at_edge for one in levels):
        notes.append("hollow: at an end of its range")
    return Figure(title, "; ".join(notes), draw(key, title, paint, size))


def _limits(shown: tuple[float, float], levels: Sequence[LevelOptimum]) -> tuple[float, float]:
    """No farther beyond the range of the setting than a tenth of it."""
    xs = [x for one in levels for x in one.curve_x]
    if not xs:
        return shown
    low, high, room = min(xs), max(xs), 0.1 * (max(xs) - min(xs))
    return max(shown[0], low - room), min(shown[1], high + room)


def _write_ends(axes: Axes, labels: list[Label]) -> None:
    """Labels right of the axes, at the height where their lines end."""
    low, high = axes.get_ylim()
    gap = 13 / axes.bbox.height * axes.figure.dpi / 72
    heights = spread([label.y for label in labels], gap * (high - low))
    for label, height in zip(labels, heights, strict=True):
        axes.annotate(
            label.text,
            (1.0, height),
            xycoords=("axes fraction", "data"),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            color=label.colour,
            fontsize=8.5,
        )


def _face(level: LevelOptimum) -> str:
    return COLOURS["panel"] if level.at_edge else _OWN


def _lines(axes: Axes, drift: Drift, levels: list[LevelOptimum], law: Law | None) -> list[Label]:
    """Fit, law and null; returns the labels at their right ends."""
    at = np.array([_t(drift, one.level) for one in levels])
    values = np.array([one.optimum.value for one in levels])
    errors = np.array([_error(one) for one in levels])
    known = np.isfinite(errors) & (errors > 0)
    spread = errors[known]
    weights = np.where(known, 1 / np.where(known, errors, 1.0) ** 2, 0.0)
    if not known.any():
        weights = np.ones_like(values)
    weights = weights / weights.sum()
    centre, mean = float(weights @ at), float(weights @ values)
    t = np.linspace(at.min(), at.max(), 60)
    x = np.exp(t) if drift.log else t
    axes.axhline(mean, color=_NULL, lw=1.1, ls=(0, (2, 3)), zorder=1)
    labels = [Label(float(x[-1]), mean, "no drift", _NULL)]
    slope = drift.slope
    if math.isfinite(slope.value):
        axes.plot(x, mean + slope.value * (t - centre), color=_OWN, lw=1.6)
        if math.isfinite(slope.low) and math.isfinite(slope.high):
            base = 1 / math.sqrt(float(np.sum(spread**-2))) if len(spread) else 0.0
            low, high = (
                _band(t, (centre, mean), slope.value, bound, _Z * base)
                for bound in (slope.low, slope.high)
            )
            axes.fill_between(
                x, np.minimum(low, high), np.maximum(low, high), color=_OWN, alpha=0.12, lw=0
            )
        end = mean + slope.value * (float(t[-1]) - centre)
        labels.append(Label(float(x[-1]), end, f"fit, slope {tick(round(slope.value, 2))}", _OWN))
    if law is not None and drift.log:
        predicted = [law.predicts(float(each)) for each in x]
    elif drift.law is not None:
        predicted = list(mean + drift.law * (t - centre))
    else:
        return labels
    axes.plot(x, predicted, color=_LAW, lw=1.4, ls=(0, (5, 3)))
    slope_of_law = drift.law if drift.law is not None else law.slope if law else 0.0
    labels.append(Label(float(x[-1]), predicted[-1], f"law, slope {tick(slope_of_law)}", _LAW))
    return labels


def _band(
    t: Floats, through: tuple[float, float], slope: float, bound: float, half: float
) -> Floats:
    """One edge of the band about a line: the errors of its height and of its slope together."""
    centre, mean = through
    tilt = (bound - slope) * (t - centre)
    # The bound is the lower edge right of the centre and the upper one left of it, or inversely.
    side = np.sign(bound - slope) if bound != slope else 1.0
    return np.asarray(mean + slope * (t - centre) + side * np.hypot(tilt, half))


def _t(drift: Drift, level: float) -> float:
    return math.log(level) if drift.log else level


def _error(level: LevelOptimum) -> float:
    return (level.optimum.high - level.optimum.low) / (2 * _Z)


def curve_figures(key: str, drift: Drift, text: GoalText, names: Mapping[str, str]) -> list[Figure]:
    """At each level the trials, the fitted curve and where it is best; all on one scale."""
    levels = [one for one in drift.levels if one.points or one.curve_x]
    if not levels or not plots_available():
        return []
    of, along = (elide(names.get(path, path), 40) for path in (drift.of, drift.along))
    xs = [x for one in levels for x in (*one.curve_x, *(p[0] for p in one.points))]
    ys = [y for one in levels for _, y in one.points]
    ys = ys or [y for one in levels for y in one.curve_y]
    ys = [text.scale * y for y in ys if math.isfinite(y)]
    if not xs or not ys:
        return []

    def figure(place: int, one: LevelOptimum) -> Figure:
        def paint(axes: Axes) -> None:
            low, value, high = one.optimum.low, one.optimum.value, one.optimum.high
            if math.isfinite(low) and math.isfinite(high):
                axes.axvspan(low, high, color=_OWN, alpha=0.12, lw=0)
            if math.isfinite(value):
                axes.axvline(value, color=_OWN, lw=1.0, ls=(0, (4, 3)))
            axes.plot(
                [x for x, _ in one.points],
                [text.scale * y for _, y in one.points],
                "o",
                color=COLOURS["ink"],
                ms=3.2,
                alpha=0.5,
                mew=0,
            )
            axes.plot(one.curve_x, [text.scale * y for y in one.curve_y], color=_OWN, lw=1.6)
            room = 0.05 * ((max(xs) - min(xs)) or 1.0)
            axes.set_xlim(min(xs) - room, max(xs) + room)
            room = 0.12 * ((max(ys) - min(ys)) or 1.0)
            axes.set_ylim(min(ys) - room, max(ys) + room)
            axes.locator_params(nbins=5)
            axes.set_xlabel(of)
            if place == 0:
                axes.set_ylabel(text.axis)

        title = f"{along} {elide(level_text(one))}"
        note = f"{one.trials} trials"
        return Figure(title, note, draw(f"{key}-{place}", title, paint, (2.3, 1.85)))

    return [figure(place, one) for place, one in enumerate(levels)]
