"""What differs between the metrics of runs, and whether the difference is clear."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from colaflex.interfaces.metric import Measurement

__all__ = ["Difference", "compare_metrics", "difference"]

Metrics = Mapping[str, Mapping[str, float | int | None]]


@dataclass(frozen=True, slots=True)
class Difference:
    """One run's value minus another's.

    Attributes:
        value: the difference, with its 95 % interval.
        overlap: whether the two values' own intervals overlap.
        clear: whether the interval of the difference leaves out 0; a test at the 5 % level, more
            sensitive than looking for intervals that don't overlap.
    """

    value: Measurement
    overlap: bool
    clear: bool

    def as_json(self) -> dict[str, float | int | bool | None]:
        """As `colaflex compare --json` prints it; what is unknown is null."""
        numbers = {name: _finite(number) for name, number in self.value.as_json().items()}
        return {**numbers, "overlap": self.overlap, "clear": self.clear}


def difference(one: Measurement, other: Measurement) -> Difference:
    """`one` minus `other`, taken as independent.

    The interval comes from theirs (Zou and Donner's MOVER, 2008): the arms that face each other add
    in quadrature, which keeps skewed intervals skewed. Without an interval nothing is clear.
    """
    gap = one.value - other.value
    low = gap - math.hypot(one.value - one.low, other.high - other.value)
    high = gap + math.hypot(one.high - one.value, other.value - other.low)
    overlap = not (one.high < other.low or other.high < one.low)
    return Difference(
        Measurement(gap, low, high, min(one.n, other.n)), overlap, low > 0 or high < 0
    )


def compare_metrics(runs: Sequence[Metrics]) -> list[dict[str, object]]:
    """Compare runs' metrics, as they stand in result.json, with those of the first run.

    Returns:
        A row for each metric that any run has, sorted by name: `metric`; `values`, one a run, None
        where it lacks the metric; `differences`, one for each run but the first, run minus first,
        None where either lacks it.
    """
    rows: list[dict[str, object]] = []
    for name in sorted(set().union(*runs)):
        values = [run.get(name) for run in runs]
        measured = [None if value is None else _measurement(value) for value in values]
        first = measured[0]
        differences = [
            None if first is None or other is None else difference(other, first).as_json()
            for other in measured[1:]
        ]
        rows.append({"metric": name, "values": values, "differences": differences})
    return rows


def _measurement(raw: Mapping[str, float | int | None]) -> Measurement:
    value, low, high = (_number(raw.get(name)) for name in ("value", "low", "high"))
    return Measurement(value, low, high, int(raw.get("n") or 0))


def _number(raw: float | int | None) -> float:
    return math.nan if raw is None else float(raw)


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
