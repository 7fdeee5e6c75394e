"""Figures of the objective over each setting, coloured by another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from colaflex.metrics.numbers import tick
from colaflex.report.drawing import SERIES, Figure, draw, elide, plots_available
from colaflex.studies.page.comparisons import objective
from colaflex.studies.page.goals import GoalText
from colaflex.studies.page.knob_axes import KnobAxis, value_text
from colaflex.studies.trials import TrialRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["placed", "slice_figures"]

_MARKERS = ("o", "s", "^", "D", "v", "P")


def slice_figures(
    records: Sequence[TrialRecord],
    knobs: Sequence[KnobAxis],
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
        points = placed(records, knob, text)
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
    knob: KnobAxis
    other: KnobAxis | None
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
        groups: dict[tuple[int, str], list[tuple[float, float]]] = {}
        for key, (x, y, _) in zip(named, self.points, strict=True):
            groups.setdefault(key, []).append((x, y))
        return [(name, rows) for (_, name), rows in sorted(groups.items())]


def _group(other: KnobAxis, place: float, places: Sequence[float]) -> tuple[int, str]:
    """Which group a trial is in, and what it is called."""
    if not math.isfinite(place):
        return 99, "without"
    if other.kind != "range" and len(other.levels) <= len(SERIES):
        return int(place), value_text(other.levels[int(place)])
    known = np.array([each for each in places if math.isfinite(each)])
    low, high = (float(edge) for edge in np.quantile(known, [1 / 3, 2 / 3]))

    def edge_text(edge: float) -> str:
        if other.kind == "range":
            return tick(float(f"{edge:.2g}"))
        return value_text(other.levels[round(edge)])

    if place <= low:
        return 0, f"≤ {edge_text(low)}"
    return (1, f"to {edge_text(high)}") if place <= high else (2, f"> {edge_text(high)}")


def placed(
    records: Sequence[TrialRecord], knob: KnobAxis, text: GoalText
) -> list[tuple[float, float, TrialRecord]]:
    """(place, objective as drawn, trial) of the complete trials in which a setting has meaning."""
    rows = [
        (knob.place(r.point), text.scale * objective(r, 0, text.goal), r)
        for r in records
        if r.state == "complete"
    ]
    return [row for row in rows if math.isfinite(row[0]) and math.isfinite(row[1])]
