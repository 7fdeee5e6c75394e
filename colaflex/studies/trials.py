"""Trials as values: what the storage knows of each, without Optuna's types."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from pydantic import TypeAdapter, ValidationError

from colaflex.errors import UserError
from colaflex.studies.objective import Point

if TYPE_CHECKING:
    import optuna

__all__ = [
    "ATTRIBUTES",
    "State",
    "TrialRecord",
    "counts",
    "failed_in_words",
    "record_of",
    "records_of",
    "training_flops",
]

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
SHOWN = 5
"""Reasons of failures that are shown, and trials of each."""


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
    """A trial of the storage as a value; raises UserError where others wrote something else."""
    known = {name: trial.user_attrs[name] for name in ATTRIBUTES if name in trial.user_attrs}
    known["point"] = known.get("point", trial.params)
    state = STATES[trial.state.name]
    metrics = known.pop("metrics", {})  # many, and cheaper to look at than to validate
    fields = {
        "number": trial.number,
        "state": state,
        "values": (trial.values or ()) if state == "complete" else (),
        "intermediate": trial.intermediate_values,
        **known,
    }
    try:
        record = _adapter().validate_python(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise _damaged(trial, f"{place}: {first['msg']}") from None
    if not isinstance(metrics, dict) or not all(isinstance(m, dict) for m in metrics.values()):
        raise _damaged(trial, "metrics: expected a map of maps")
    return replace(record, metrics=metrics)


def _damaged(trial: optuna.trial.FrozenTrial, why: str) -> UserError:
    return UserError(f"trial {trial.number} of the study is damaged in its storage: {why}")


@cache
def _adapter() -> TypeAdapter[TrialRecord]:
    return TypeAdapter(TrialRecord)


def records_of(trials: Iterable[optuna.trial.FrozenTrial]) -> list[TrialRecord]:
    """All of them, by number."""
    return [record_of(trial) for trial in sorted(trials, key=lambda trial: trial.number)]


def counts(records: Sequence[TrialRecord]) -> dict[str, int]:
    """How many trials are in each state."""
    return {state: sum(r.state == state for r in records) for state in STATES.values()}


def training_flops(records: Sequence[TrialRecord]) -> float:
    """Training FLOPs of trials, each stage 1 counted once."""
    stages = {digest: flops for record in records for digest, flops in record.stage1.items()}
    return math.fsum([*(record.flops for record in records), *stages.values()])


def failed_in_words(failures: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines on the last reasons.

    Args:
        failures: `arm`, `trial` and `reason` of each trial that failed.
    """
    reasons: dict[str, list[str]] = {}
    for failure in failures:
        trial = f"{failure['arm']} {failure['trial']}"
        reasons.setdefault(" ".join(str(failure["reason"]).split()), []).append(trial)
    lines = []
    for reason, trials in list(reasons.items())[-SHOWN:]:
        more = f" and {len(trials) - SHOWN} more" if len(trials) > SHOWN else ""
        lines.append(f"{', '.join(trials[-SHOWN:])}{more}: {reason}")
    if len(reasons) > SHOWN:
        lines.append(f"{len(reasons) - SHOWN} other reasons; `study status --json` has all of them")
    return lines
