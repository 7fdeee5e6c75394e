"""Trials as values: what the storage knows of each, without Optuna's types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from colaflex.studies.objective import Point

if TYPE_CHECKING:
    import optuna

__all__ = ["ATTRIBUTES", "State", "TrialRecord", "record_of", "records_of"]

State = Literal["complete", "pruned", "failed", "running", "waiting"]
STATES: Mapping[str, State] = {
    "COMPLETE": "complete",
    "PRUNED": "pruned",
    "FAIL": "failed",
    "RUNNING": "running",
    "WAITING": "waiting",
}
ATTRIBUTES = (
    "metrics",
    "flops",
    "seconds",
    "stage1",
    "reused",
    "reason",
    "point",
    "seeds",
    "split",
)
"""User attributes of a trial in the storage that a record is read from."""


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """A trial.

    Attributes:
        number: from 0, in the order of their beginnings.
        state: as counted by `status`.
        point: key path -> value, of the keys that have a meaning there.
        values: of the objectives, in their order; empty unless complete.
        intermediate: step -> value of the objective.
        metrics: all that was measured: name -> value, low, high, n.
        flops: model FLOPs of training without stage 1.
        seconds: it took.
        stage1: digest -> model FLOPs of the stages 1 it stands on.
        reused: how many of these were known already.
        seeds: of its runs.
        split: the held-out documents that it was measured on.
        reason: why it failed.
    """

    number: int
    state: State
    point: Point = field(default_factory=dict)
    values: tuple[float, ...] = ()
    intermediate: Mapping[int, float] = field(default_factory=dict)
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    flops: float = 0.0
    seconds: float = 0.0
    stage1: Mapping[str, float] = field(default_factory=dict)
    reused: int = 0
    seeds: tuple[int, ...] = ()
    split: str = "validation"
    reason: str = ""


def record_of(trial: optuna.trial.FrozenTrial) -> TrialRecord:
    """A trial of the storage as a value."""
    known = {name: trial.user_attrs[name] for name in ATTRIBUTES if name in trial.user_attrs}
    known["point"] = known.get("point", trial.params)
    known["seeds"] = tuple(known.get("seeds", ()))
    state = STATES[trial.state.name]
    values = tuple(trial.values or ()) if state == "complete" else ()
    steps = dict(trial.intermediate_values)
    return TrialRecord(trial.number, state, values=values, intermediate=steps, **known)


def records_of(trials: Iterable[optuna.trial.FrozenTrial]) -> list[TrialRecord]:
    """All of them, by number."""
    return [record_of(trial) for trial in sorted(trials, key=lambda trial: trial.number)]
