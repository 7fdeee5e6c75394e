"""The tables of a study's page as rows of text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from colaflex.metrics.numbers import MISSING, compact, duration
from colaflex.studies.explanation.explanation import Drift, Explanation
from colaflex.studies.page.comparisons import FreshResult, objective
from colaflex.studies.page.goals import GoalText, p_text
from colaflex.studies.page.knob_axes import KnobAxis, point_text, value_text
from colaflex.studies.page.sentences import interval_text
from colaflex.studies.page.spending import own_flops, value_of
from colaflex.studies.page.tradeoff_figures import front_of
from colaflex.studies.summary import StudySummary

__all__ = [
    "ArmRow",
    "TrialRow",
    "arm_rows",
    "front_rows",
    "interaction_rows",
    "level_rows",
    "space_rows",
    "trial_rows",
]

_STATES = ("complete", "pruned", "failed", "running", "waiting")


@dataclass(frozen=True, slots=True)
class ArmRow:
    """An arm, or a control that searched nothing, as it stands in the table."""

    name: str
    sampler: str
    counts: tuple[str, ...]
    flops: str
    time: str
    seen: str
    point: str
    fresh: str
    interval: str
    seeds: int


@dataclass(frozen=True, slots=True)
class TrialRow:
    """A trial as it stands in the table of all trials."""

    number: int
    state: str
    settings: tuple[str, ...]
    values: tuple[str, ...]
    flops: str
    time: str
    note: str
    best: bool


def arm_rows(
    summary: StudySummary,
    fresh: Sequence[FreshResult],
    knobs: Sequence[KnobAxis],
    text: GoalText | None,
) -> list[ArmRow]:
    """Every arm and every control, in their order."""
    names = dict.fromkeys([*summary.arms, *(row.arm for row in summary.fresh)])
    return [_arm_row(name, summary, fresh, knobs, text) for name in names]


def _arm_row(
    name: str,
    summary: StudySummary,
    fresh: Sequence[FreshResult],
    knobs: Sequence[KnobAxis],
    text: GoalText | None,
) -> ArmRow:
    arm = summary.arms.get(name)
    again = next((row for row in fresh if row.arm == name), None)
    planned = next((row.point for row in summary.fresh if row.arm == name), {})
    best = arm.best if arm is not None else None
    counted = arm.counts if arm is not None else {}
    seen = objective(best, 0, text.goal) if best is not None and text is not None else math.nan
    return ArmRow(
        name,
        arm.sampler if arm is not None else "no search",
        tuple(str(counted.get(state, 0)) if arm else MISSING for state in _STATES[:3]),
        compact(arm.flops) if arm is not None else MISSING,
        duration(arm.seconds) if arm is not None else MISSING,
        text.value(seen) if text is not None else MISSING,
        point_text(best.point if best is not None else planned, knobs) or MISSING,
        text.value(again.measured.value) if again is not None and text is not None else MISSING,
        text.interval(again.measured) if again is not None and text is not None else "",
        len(again.values) if again is not None else 0,
    )


def space_rows(summary: StudySummary) -> list[tuple[str, str, str]]:
    """(key, what is searched, value in the base spec) of every searched key."""
    rows = []
    for row in summary.space:
        if row.choices:
            searched = ", ".join(map(value_text, row.choices))
        else:
            searched = f"{value_text(row.low)} to {value_text(row.high)}"
            searched += ", log scale" if row.log else ""
        if row.component:
            searched += f" (with {row.component})"
        rows.append((row.path, searched, value_text(row.base)))
    return rows


def level_rows(drift: Drift) -> list[tuple[str, str, str, str]]:
    """(level, trials, best value with interval, remark) of a drift."""
    return [
        (
            one.label or value_text(one.level),
            str(one.trials),
            interval_text(one.optimum) or MISSING,
            "at an end of its range" if one.at_edge else "",
        )
        for one in drift.levels
    ]


def interaction_rows(explanation: Explanation) -> list[tuple[str, str, str, str]]:
    """(setting, other setting, share in percent with interval, p) of every pair."""
    return [
        (one.first, one.second, interval_text(one.share, 100, 1) or MISSING, p_text(one.p_value))
        for one in explanation.interactions
    ]


def front_rows(
    summary: StudySummary, texts: Sequence[GoalText], knobs: Sequence[KnobAxis]
) -> list[tuple[str, int, list[str], str]]:
    """(arm, trial, objectives, point) of the trials that none beats."""
    rows = []
    for name, number in front_of(summary.arms, texts):
        record = next(r for r in summary.arms[name].records if r.number == number)
        values = [text.value(objective(record, i, text.goal)) for i, text in enumerate(texts)]
        rows.append((name, number, values, point_text(record.point, knobs)))
    return rows


def trial_rows(
    summary: StudySummary, name: str, texts: Sequence[GoalText], paths: Sequence[str]
) -> list[TrialRow]:
    """All trials of an arm."""
    arm = summary.arms[name]
    rows = []
    for record in sorted(arm.records, key=lambda record: record.number):
        values = [text.value(objective(record, i, text.goal)) for i, text in enumerate(texts)]
        note = record.reason
        if record.state == "pruned" and texts:
            values = [MISSING] * len(texts)
            last = value_of(record, texts[0].goal)
            step = f" at step {max(record.intermediate)}" if record.intermediate else ""
            stood = f"given up{step}" + (
                f", at {texts[0].value(last)}" if math.isfinite(last) else ""
            )
            note = f"{stood}; {note}" if note else stood
        elif record.state != "complete":
            values = [MISSING] * len(texts)
        rows.append(
            TrialRow(
                record.number,
                record.state,
                tuple(value_text(record.point.get(path)) or "·" for path in paths),
                tuple(values),
                compact(own_flops(record)) if own_flops(record) else MISSING,
                duration(record.seconds) if record.seconds else MISSING,
                note,
                arm.best is not None and arm.best.number == record.number,
            )
        )
    return rows
