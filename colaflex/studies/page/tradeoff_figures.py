"""Figures of two things at once: the Pareto front of two objectives, or the objective by cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from colaflex.report.drawing import (
    COLOURS,
    Figure,
    Label,
    draw,
    elide,
    log_axis,
    plots_available,
    write_labels,
)
from colaflex.statistics.front import front
from colaflex.studies.page.comparisons import objective
from colaflex.studies.page.goals import GoalText
from colaflex.studies.page.history_figures import compute_axis, plane_axes
from colaflex.studies.page.spending import own_flops
from colaflex.studies.summary import ArmSummary
from colaflex.studies.trials import TrialRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["cost_figure", "front_of", "pareto_figure"]

_SIZE = (8.2, 4.3)
_Points = Mapping[str, Sequence[tuple[float, float]]]


def front_of(arms: Mapping[str, ArmSummary], texts: Sequence[GoalText]) -> list[tuple[str, int]]:
    """(arm, number) of the complete trials that none beats in all objectives, best of the first."""
    trials = [(name, record) for name, arm in arms.items() for record in complete(arm.records)]
    rows = [[objective(r, i, text.goal) for i, text in enumerate(texts)] for _, r in trials]
    on_front = front(rows, [text.goal.sign for text in texts])
    order = sorted(on_front, key=lambda index: -texts[0].goal.sign * rows[index][0])
    return [(trials[index][0], trials[index][1].number) for index in order]


def complete(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The complete ones."""
    return [record for record in records if record.state == "complete"]


def pareto_figure(
    arms: Mapping[str, ArmSummary], texts: Sequence[GoalText], colours: Mapping[str, str]
) -> Figure | None:
    """The first two objectives of all complete trials, with the line of those that none beats."""
    first, second = texts[:2]
    points = {
        name: [
            (second.scale * objective(r, 1, second.goal), first.scale * objective(r, 0, first.goal))
            for r in complete(arm.records)
        ]
        for name, arm in arms.items()
    }
    title = f"{first.title} against {second.label}"
    note = f"{first.better} and {second.better}; dashed: trials that none beats in both"
    signs = (second.goal.sign, first.goal.sign)
    return _figure("fig-pareto", (title, note), points, signs, (second, first.axis), colours)


def cost_figure(
    arms: Mapping[str, ArmSummary], text: GoalText, colours: Mapping[str, str]
) -> Figure | None:
    """The objective of all complete trials against what training them takes."""
    points = {
        name: [
            (own_flops(record), text.scale * objective(record, 0, text.goal))
            for record in complete(arm.records)
            if own_flops(record) > 0
        ]
        for name, arm in arms.items()
    }
    if len({x for group in points.values() for x, _ in group}) < 2:
        return None
    title = f"{text.title} against the training FLOPs of a trial"
    note = f"stage 1 included; {text.better}; dashed: trials that none beats at their cost"
    return _figure(
        "fig-cost", (title, note), points, (-1, text.goal.sign), (None, text.axis), colours
    )


def _figure(
    key: str,
    words: tuple[str, str],
    points: _Points,
    signs: tuple[float, float],
    axes_of: tuple[GoalText | None, str],
    colours: Mapping[str, str],
) -> Figure | None:
    shown = {
        name: [p for p in group if all(map(math.isfinite, p))] for name, group in points.items()
    }
    shown = {name: group for name, group in shown.items() if group}
    every = [point for group in shown.values() for point in group]
    if len(every) < 2 or not plots_available():
        return None
    across, up = axes_of

    def paint(axes: Axes) -> None:
        labels = []
        best = sorted({every[index] for index in front(every, signs)})
        axes.step(
            *zip(*best, strict=True),
            where="post" if signs[0] < 0 else "pre",
            color=COLOURS["muted"],
            lw=1.0,
            ls=(0, (4, 3)),
        )
        for name, group in shown.items():
            axes.plot(*zip(*group, strict=True), "o", color=colours[name], ms=4.5, alpha=0.7, mew=0)
            top = max(group, key=lambda point: signs[1] * point[1])
            labels.append(Label(*top, elide(name, 20), colours[name]))
        xs = [x for x, _ in every]
        if min(xs) > 0 and max(xs) / min(xs) >= 20:
            log_axis(axes.xaxis)
        elif across is None or across.unit in ("FLOPs", ""):
            compute_axis(axes.xaxis)
        plane_axes(axes, "training FLOPs of a trial" if across is None else across.axis, up)
        write_labels(axes, labels)

    return Figure(*words, draw(key, words[0], paint, _SIZE))
