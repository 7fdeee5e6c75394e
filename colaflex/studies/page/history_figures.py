"""Figures of how the search went: objective by trial, best so far by compute, fresh seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from colaflex.metrics.numbers import compact
from colaflex.report.drawing import (
    COLOURS,
    SERIES,
    Figure,
    Label,
    draw,
    elide,
    or_value,
    plots_available,
    write_labels,
)
from colaflex.studies.page.comparisons import FreshResult
from colaflex.studies.page.goals import GoalText
from colaflex.studies.page.spending import Step

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["arm_colours", "fresh_figure", "spending_figure", "trials_figure"]

_SIZE = (5.4, 3.3)


def arm_colours(names: Sequence[str]) -> dict[str, str]:
    """A colour for each arm, the same in all figures."""
    return {name: SERIES[place % len(SERIES)] for place, name in enumerate(dict.fromkeys(names))}


def trials_figure(
    courses: Mapping[str, Sequence[Step]], text: GoalText, colours: Mapping[str, str]
) -> Figure | None:
    """The objective of every trial, and the best so far as a line; None without values."""
    shown = _with_values(courses)
    if not shown or not plots_available():
        return None

    def paint(axes: Axes) -> None:
        from matplotlib.ticker import MaxNLocator

        labels = []
        for name, steps in shown.items():
            colour = colours[name]
            for state, marker, size in (("complete", "o", 3.6), ("pruned", "x", 3.6)):
                points = [
                    (step.record.number, text.scale * step.value)
                    for step in steps
                    if step.record.state == state and math.isfinite(step.value)
                ]
                if points:
                    axes.plot(
                        *zip(*points, strict=True), marker, color=colour, ms=size, alpha=0.55, mew=1
                    )
            line = [
                (step.record.number, text.scale * step.best)
                for step in steps
                if math.isfinite(step.best)
            ]
            if line:
                axes.step(*zip(*line, strict=True), where="post", color=colour, lw=1.6)
                labels.append(Label(*line[-1], elide(name, 20), colour))
        plane_axes(axes, "trial", text.axis)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        write_labels(axes, labels)

    pruned = any(step.record.state == "pruned" for steps in shown.values() for step in steps)
    note = f"line: the best so far{'; ×: pruned, where it stood then' if pruned else ''}"
    title = f"{text.title} by trial"
    return Figure(title, note, draw("fig-trials", title, paint, _SIZE))


def spending_figure(
    courses: Mapping[str, Sequence[Step]], text: GoalText, colours: Mapping[str, str]
) -> Figure | None:
    """The best so far against what the arm had spent; None where nothing was counted."""
    shown = {
        name: [step for step in steps if math.isfinite(step.best)]
        for name, steps in _with_values(courses).items()
    }
    shown = {name: steps for name, steps in shown.items() if steps and steps[-1].spent > 0}
    if not shown or not plots_available():
        return None

    def paint(axes: Axes) -> None:
        labels = []
        end = max(steps[-1].spent for steps in shown.values())
        for name, steps in shown.items():
            line = [(step.spent, text.scale * step.best) for step in steps]
            axes.step(*zip(*line, strict=True), where="post", color=colours[name], lw=1.8)
            axes.plot(*line[-1], "o", color=colours[name], ms=4.5)
            labels.append(Label(*line[-1], elide(name, 20), colours[name]))
        plane_axes(axes, "training FLOPs spent by the arm", text.axis)
        compute_axis(axes.xaxis)
        axes.set_xlim(0, 1.08 * end)
        write_labels(axes, labels)

    title = f"Best {text.label} so far, by training compute"
    note = "each stage 1 counted once"
    return Figure(title, note, draw("fig-spending", title, paint, _SIZE))


def fresh_figure(
    rows: Sequence[FreshResult], text: GoalText, colours: Mapping[str, str]
) -> Figure | None:
    """Fresh seeds of every row, their mean with its interval, and what the search saw."""
    if not rows or not plots_available():
        return None

    def paint(axes: Axes) -> None:
        for place, row in enumerate(rows):
            colour, scale = colours.get(row.arm, COLOURS["muted"]), text.scale
            mean = row.measured.value
            ends = [scale * or_value(e, mean) for e in (row.measured.low, row.measured.high)]
            axes.plot(ends, [place, place], color=colour, lw=6, alpha=0.25, solid_capstyle="butt")
            axes.plot([scale * v for v in row.values], [place] * len(row.values), "|", color=colour)
            axes.plot([scale * mean], [place], "o", color=colour, ms=6)
            if math.isfinite(row.seen):
                axes.plot(
                    [scale * row.seen], [place], "D", ms=5.5, mfc="none", mec=COLOURS["ink"], mew=1
                )
        row_axes(axes, [elide(row.arm, 22) for row in rows], text.axis)

    title = f"{text.title} on fresh seeds"
    seen = any(math.isfinite(row.seen) for row in rows)
    note = "dot: mean; band: 95 % interval over seeds; strokes: seeds" + (
        "; diamond: what the search saw on validation" if seen else ""
    )
    return Figure(title, note, draw("fig-fresh", title, paint, (8.2, 0.75 + 0.42 * len(rows))))


def compute_axis(axis: object) -> None:
    """Ticks of FLOPs with an SI prefix."""
    from matplotlib.axis import Axis
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    assert isinstance(axis, Axis)
    axis.set_major_locator(MaxNLocator(5))
    axis.set_major_formatter(FuncFormatter(lambda value, _: compact(value) if value else "0"))


def _with_values(courses: Mapping[str, Sequence[Step]]) -> dict[str, Sequence[Step]]:
    """The arms that have values; none where there are fewer than two in all."""
    counted = {
        name: sum(math.isfinite(step.value) for step in steps) for name, steps in courses.items()
    }
    if sum(counted.values()) < 2:
        return {}
    return {name: steps for name, steps in courses.items() if counted[name]}


def row_axes(axes: Axes, names: Sequence[str], across: str) -> None:
    """A row for each name, the first on top, with what is measured along the other axis."""
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", labelcolor=COLOURS["ink"])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.margins(x=0.06)
    axes.set_xlabel(across)


def plane_axes(axes: Axes, across: str, up: str) -> None:
    """Two measures against each other."""
    axes.grid(axis="both")
    axes.margins(x=0.08, y=0.08)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
