"""What an arm had spent by each trial, and its best value by then."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from colaflex.studies.page.comparisons import objective
from colaflex.studies.summary import Goal
from colaflex.studies.trials import TrialRecord

__all__ = ["Step", "course", "own_flops", "value_of"]


@dataclass(frozen=True, slots=True)
class Step:
    """A trial within the history of its arm.

    Attributes:
        record: the trial.
        value: of the main objective; of a pruned trial the last that was reported; else NaN.
        spent: training FLOPs of the arm up to its end, each stage 1 counted once.
        best: the best value of the complete trials so far; NaN before the first.
    """

    record: TrialRecord
    value: float
    spent: float
    best: float


def course(records: Sequence[TrialRecord], goal: Goal) -> list[Step]:
    """The ended trials of an arm in the order of their numbers."""
    steps, known, spent, best = [], set[str](), 0.0, math.nan
    for record in sorted(records, key=lambda record: record.number):
        if record.state in ("running", "waiting"):
            continue
        new = {digest: flops for digest, flops in record.stage1.items() if digest not in known}
        known.update(new)
        spent += record.flops + math.fsum(new.values())
        value = value_of(record, goal)
        if record.state == "complete" and math.isfinite(value):
            better = not math.isfinite(best) or goal.sign * (value - best) > 0
            best = value if better else best
        steps.append(Step(record, value, spent, best))
    return steps


def value_of(record: TrialRecord, goal: Goal) -> float:
    """A trial's main objective; of a pruned one its last intermediate value."""
    if record.state == "complete":
        return objective(record, 0, goal)
    if record.state == "pruned" and record.intermediate:
        return record.intermediate[max(record.intermediate)]
    return math.nan


def own_flops(record: TrialRecord) -> float:
    """Training FLOPs of a trial with the stages 1 it stands on, whoever trained them."""
    return record.flops + math.fsum(record.stage1.values())
