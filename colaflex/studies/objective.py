"""What a trial measures: the interface between the search and the training behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from colaflex.errors import RunFailure

__all__ = [
    "Attempt",
    "Objective",
    "Point",
    "Pruned",
    "Report",
    "StopSearch",
    "TrialResult",
    "Value",
    "is_number",
    "point_in_words",
]

Value = bool | int | float | str
Point = Mapping[str, Value]
"""Values by key path of a spec, of the searched keys that have a meaning there."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A trial to be measured.

    Attributes:
        name: where its files go, relative to the folder of the study: `search/0012`.
        point: what is set over the base spec.
        seeds: of the runs it consists of.
        split: the held-out documents that it is measured on.
    """

    name: str
    point: Point
    seeds: Sequence[int] = (0,)
    split: Literal["validation", "test"] = "validation"


@dataclass(frozen=True, slots=True)
class TrialResult:
    """What a trial came to.

    Attributes:
        metrics: name -> `value`, `low`, `high`, `n`, as in result.json; `cost.*` among them.
        flops: model FLOPs of its training without stage 1.
        seconds: it took, whoever had trained stage 1.
        stage1: digests of the stages 1 it stands on -> model FLOPs of each.
        reused: how many of these stages 1 were known already.
        left_out: of metrics that would mean nothing here, why.
    """

    metrics: Mapping[str, Mapping[str, Any]]
    flops: float = 0.0
    seconds: float = 0.0
    stage1: Mapping[str, float] = field(default_factory=dict)
    reused: int = 0
    left_out: Mapping[str, str] = field(default_factory=dict)


class Pruned(Exception):
    """A trial is given up: others were better at this point of theirs.

    Attributes:
        result: what it had cost by then, and what was measured last; None where that is unknown.
    """

    result: TrialResult | None = None


class StopSearch(RunFailure):
    """No trial can be measured as things are; the one that was begun waits."""


class Report(Protocol):
    """Told of intermediate values while a trial runs."""

    def __call__(self, step: int, metrics: Mapping[str, float]) -> None:
        """Note the metrics at a step (a rung, or a seed), counted from 1.

        Raises:
            Pruned: the trial is to end here.
        """
        ...  # pragma: no cover


class Objective(Protocol):
    """Measures attempts: by training a spec, or by a formula."""

    def __call__(self, attempt: Attempt, report: Report) -> TrialResult:
        """Measure; going on where an earlier try of the same attempt was killed.

        Raises:
            Pruned: passed on from `report`.
            UserError: the point can't be run; the trial fails for this reason.
            RunFailure: the training failed, say by a loss that is not finite.
        """
        ...  # pragma: no cover


def point_in_words(point: Point) -> str:
    """`latent_dim 16, loc 1.04`: the last parts of keys, whole keys where these are not unique."""
    ends = [path.rpartition(".")[2] for path in point]
    names = [end if ends.count(end) == 1 else path for path, end in zip(point, ends, strict=True)]
    values = [f"{v:.4g}" if isinstance(v, float) else str(v) for v in point.values()]
    return ", ".join(f"{n} {v}" for n, v in zip(names, values, strict=True))


def is_number(value: object) -> bool:
    """Whether a value is a number; a bool is one to Python, not to people."""
    return isinstance(value, int | float) and not isinstance(value, bool)
