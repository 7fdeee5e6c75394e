"""An objective as it is printed and drawn: label, unit, scale."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from colaflex.interfaces.metric import Measurement
from colaflex.metrics.measurements import measurements_of
from colaflex.metrics.names import describe
from colaflex.metrics.numbers import MISSING, decimals, interval, number, with_unit
from colaflex.report.drawing import axis_label, scale_of
from colaflex.studies.summary import Goal, StudySummary

__all__ = ["GoalText", "goal_texts", "p_text"]


@dataclass(frozen=True, slots=True)
class GoalText:
    """How the values of an objective are written.

    Attributes:
        goal: the objective.
        places: decimals of its values, by their intervals; None: unknown.
    """

    goal: Goal
    places: int | None = None

    @property
    def label(self) -> str:
        """What is measured."""
        return describe(self.goal.metric).label

    @property
    def unit(self) -> str:
        """As `MetricInfo.unit`."""
        return describe(self.goal.metric).unit

    @property
    def scale(self) -> float:
        """Shares are drawn in percent."""
        return scale_of(describe(self.goal.metric))

    @property
    def title(self) -> str:
        """What is measured, at the beginning of a line."""
        return self.label[:1].upper() + self.label[1:]

    @property
    def axis(self) -> str:
        """Label and unit, beside an axis."""
        return ", ".join(filter(None, (self.label, axis_label(describe(self.goal.metric)))))

    @property
    def better(self) -> str:
        """Which way is better, in words."""
        return f"{self.goal.direction} is better"

    def number(self, value: float) -> str:
        """A value without its unit."""
        return number(value, self.unit, self.places)

    def value(self, value: float) -> str:
        """A value with its unit."""
        return with_unit(self.number(value), self.unit)

    def interval(self, measured: Measurement) -> str:
        """Its bounds, "" where there are none."""
        return interval(measured, self.unit, self.places)

    def gap(self, value: float) -> str:
        """A difference with its sign; of shares in percentage points."""
        text = self.number(value)
        if text == MISSING:
            return text
        signed = text if text.startswith("−") or not text.strip("0.") else f"+{text}"
        return with_unit(signed, "points" if self.unit == "share" else self.unit)

    def gap_interval(self, measured: Measurement) -> str:
        """The bounds of a difference, "" where there are none."""
        if not (math.isfinite(measured.low) and math.isfinite(measured.high)):
            return ""
        return f"{self.gap(measured.low).split(' ')[0]} to {self.gap(measured.high).split(' ')[0]}"


def goal_texts(summary: StudySummary, fresh: Iterable[Measurement] = ()) -> list[GoalText]:
    """The objectives of a study; decimals follow the intervals of trials and of fresh seeds."""
    texts = []
    for place, goal in enumerate(summary.goals):
        measured = [] if place else list(fresh)
        for arm in summary.arms.values():
            for record in arm.records:
                named = {"metrics": {k: v for k, v in record.metrics.items() if k == goal.metric}}
                measured += measurements_of(named).values()
        texts.append(GoalText(goal, decimals(measured, describe(goal.metric).unit)))
    return texts


def p_text(p_value: float) -> str:
    """A p-value in words."""
    if not math.isfinite(p_value):
        return "no p-value"
    if p_value < 0.001:
        return "p\u00a0<\u00a00.001"
    return f"p\u00a0=\u00a0{p_value:.{3 if p_value < 0.1 else 2}f}"
