"""Figures of the objective over each pair of settings, in shades: the better, the stronger."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from colaflex.metrics.numbers import tick
from colaflex.report.drawing import COLOURS, SERIES, Figure, draw, elide, plots_available
from colaflex.statistics.intervals import Floats
from colaflex.studies.page.goals import GoalText
from colaflex.studies.page.knob_axes import KnobAxis
from colaflex.studies.page.slice_figures import placed
from colaflex.studies.trials import TrialRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FEWEST", "Bands", "bands_of", "contour_figures", "smooth"]

FEWEST = 10
"""Trials without which nothing is fitted to a pair."""

_PAIRS = 15
_BANDS = 7
_PENALTIES = tuple(10.0**power for power in (-2, -1, 0, 1, 2))
_FOLDS = 5
_NEAR = 0.22


@dataclass(frozen=True, slots=True)
class Bands:
    """Shades of an objective: edges from worst to best, the stronger the better."""

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
    return Bands(tuple(float(edge) for edge in np.linspace(low, high, _BANDS + 1)[:-1]))


def contour_figures(
    records: Sequence[TrialRecord],
    knobs: Sequence[KnobAxis],
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
            for x, y, record in placed(records, across, text)
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


@dataclass(frozen=True)
class _Pair:
    """Paints a pair: means where both settings have levels, else a smooth fit, else dots alone."""

    rows: Floats
    across: KnobAxis
    up: KnobAxis
    bands: Bands
    text: GoalText

    @property
    def note(self) -> str:
        """What is shown."""
        if self._cells:
            return "mean and number of trials"
        return "dots: trials" if self._fitted else f"dots alone: {self._reason}"

    def __call__(self, axes: Axes) -> None:
        self.across.prepare(axes.xaxis)
        self.up.prepare(axes.yaxis)
        axes.set_xlim(*self.across.limits)
        axes.set_ylim(*self.up.limits)
        if self._fitted and not self._cells and self.up.kind == "levels":
            axes.set_ylim(-0.25, len(self.up.levels) - 0.75)
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
            axes.text(x, y, f"n {len(values)}", ha="center", va="top", fontsize=7.5)

    def _paint_fit(self, axes: Axes) -> None:
        units = np.array([[self.across.unit(x), self.up.unit(y)] for x, y, _ in self.rows])
        steps = np.linspace(0, 1, 41)
        fitted = smooth(units, self.rows[:, 2], steps, (self.across.reach, self.up.reach))
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


def smooth(
    places: Floats, values: Floats, steps: Floats, reach: tuple[float, float] = (_NEAR, _NEAR)
) -> Floats | None:
    """Values on a grid over the unit square, NaN far from all trials; None where nothing fits.

    A thin-plate spline whose smoothness predicts left-out trials best, held within the range of
    the values: what the other settings do to the objective is noise to it.

    Args:
        places: (trials, 2) in the unit square.
        values: of the trials.
        steps: of the grid, along both axes.
        reach: how far along each axis a trial is near.
    """
    from scipy.spatial.distance import cdist

    if len(values) < 4 or any(np.ptp(places[:, axis]) == 0 for axis in (0, 1)):
        return None
    grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    try:
        errors = [_left_out(places, values, penalty) for penalty in _PENALTIES]
        fitted = _fit(places, values, _PENALTIES[int(np.argmin(errors))], grid)
    except (np.linalg.LinAlgError, ValueError):  # all trials on one line
        return None
    fitted = np.clip(fitted, values.min(), values.max())
    fitted[cdist(grid / reach, places / reach).min(axis=1) > 1] = np.nan
    return np.asarray(fitted.reshape(len(steps), len(steps)))


def _left_out(places: Floats, values: Floats, penalty: float) -> float:
    """The squared error of predicting each fifth of the trials from the others."""
    error, fold = 0.0, np.arange(len(values)) % _FOLDS
    for left in range(min(_FOLDS, len(values))):
        others = fold != left
        predicted = _fit(places[others], values[others], penalty, places[~others])
        error += float(np.sum((predicted - values[~others]) ** 2))
    return error


def _fit(places: Floats, values: Floats, penalty: float, at: Floats) -> Floats:
    from scipy.interpolate import RBFInterpolator

    spline = RBFInterpolator(places, values, kernel="thin_plate_spline", smoothing=penalty)
    return np.asarray(spline(at), dtype=np.float64)
