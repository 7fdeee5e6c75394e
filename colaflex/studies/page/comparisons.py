"""What was measured again on fresh seeds: values with intervals, differences between arms.

Every value is a training run's; intervals are over seeds, and speak of further training runs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from colaflex.interfaces.metric import Measurement
from colaflex.metrics.measurements import measurements_of
from colaflex.metrics.names import describe
from colaflex.statistics.significance import seeds_interval, welch_interval, welch_test
from colaflex.studies.objective import Point
from colaflex.studies.summary import FreshRow, Goal, StudySummary
from colaflex.studies.trials import TrialRecord

__all__ = ["FreshResult", "Gap", "fresh_results", "gaps", "objective"]


@dataclass(frozen=True, slots=True)
class FreshResult:
    """A point on fresh seeds.

    Attributes:
        arm: whose it is.
        point: the searched keys.
        values: of the objective, by seed.
        measured: their mean, with Student's t interval.
        seen: what the search saw of the point, on validation; NaN where nothing searched for it.
        split: of the fresh measurement.
    """

    arm: str
    point: Point
    values: tuple[float, ...]
    measured: Measurement
    seen: float
    split: str


@dataclass(frozen=True, slots=True)
class Gap:
    """How far the first row is ahead of another: positive is more of the metric, not better."""

    arm: str
    difference: Measurement
    p_value: float


def objective(record: TrialRecord, index: int, goal: Goal) -> float:
    """A record's value of a goal; NaN where it has none."""
    if index < len(record.values):
        return record.values[index]
    measured = measurements_of({"metrics": record.metrics}).get(goal.metric)
    return measured.value if measured is not None else math.nan


def fresh_results(summary: StudySummary, index: int = 0) -> list[FreshResult]:
    """The fresh rows that have any value of a goal."""
    if index >= len(summary.goals):
        return []
    goal = summary.goals[index]
    rows = [_fresh_result(summary, row, index, goal) for row in summary.fresh]
    return [row for row in rows if row.values]


def gaps(rows: Sequence[FreshResult]) -> list[Gap]:
    """The first row minus each other one (Welch's t over seeds)."""
    return [
        Gap(
            row.arm,
            welch_interval(rows[0].values, row.values),
            welch_test(rows[0].values, row.values),
        )
        for row in rows[1:]
    ]


def _fresh_result(summary: StudySummary, row: FreshRow, index: int, goal: Goal) -> FreshResult:
    every = [objective(record, index, goal) for record in row.records]
    values = tuple(value for value in every if math.isfinite(value))
    ends = (0.0, 1.0) if describe(goal.metric).unit == "share" else (-math.inf, math.inf)
    arm = summary.arms.get(row.arm)
    best = arm.best if arm is not None else None
    splits = dict.fromkeys(record.split for record in row.records)
    return FreshResult(
        row.arm,
        row.point,
        values,
        seeds_interval(values, *ends),
        objective(best, index, goal) if best is not None else math.nan,
        " and ".join(splits),
    )
