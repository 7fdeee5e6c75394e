"""What differs between the metrics of runs, and whether the difference is clear."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from colaflex.errors import UserError
from colaflex.evaluation.terms import Terms, why_not
from colaflex.interfaces.metric import Items, Measurement
from colaflex.metrics.measurements import finite, measurement_of
from colaflex.statistics.significance import difference_interval, paired_test

__all__ = ["Difference", "compare_metrics", "difference", "items_of", "paired_difference"]

Metrics = Mapping[str, Mapping[str, float | int | None]]
ItemsOf = Mapping[str, Items]
LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Difference:
    """One run's value minus another's.

    Attributes:
        value: the difference, with its 95 % interval.
        overlap: whether the two values' own intervals overlap.
        clear: whether it is significant at the 5 % level: by p where there is one, else by whether
            the interval of the difference leaves out 0. More sensitive than looking for intervals
            that don't overlap.
        p: of the paired permutation test, where the items are known; not corrected for how many
            metrics are compared. It is of these trained models: one training says nothing of what
            another of the same method would come to.
        reason: why the two values don't compare; "" where they do.
    """

    value: Measurement
    overlap: bool
    clear: bool
    p: float | None = None
    reason: str = ""

    def as_json(self) -> dict[str, float | int | bool | str | None]:
        """As `colaflex compare --json` prints it; what is unknown is null."""
        numbers = finite(self.value.as_json())
        p = {} if self.p is None else {"p": self.p}
        reason = {"reason": self.reason} if self.reason else {}
        verdict = {"overlap": self.overlap, "clear": self.clear, "comparable": not self.reason}
        return {**numbers, **verdict, **p, **reason}


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


def paired_difference(
    name: str, one: Measurement, other: Measurement, items: Items, others: Items
) -> Difference:
    """`one` minus `other`, measured on the same items; interval and p come from the pairs."""
    pair = [items], [others]
    gap, p = difference_interval(*pair, name), paired_test(*pair)
    return replace(difference(one, other), value=gap, clear=p <= LEVEL, p=p)


def items_of(raw: Mapping[str, Any], where: object) -> dict[str, Items]:
    """The content of a run's items.json.

    Raises:
        UserError: it isn't that.
    """
    try:
        return {name: _items(entry["values"], entry["weights"]) for name, entry in raw.items()}
    except (KeyError, TypeError, ValueError, OverflowError):
        raise UserError(
            f'{where}: expected {{metric: {{"values": [numbers], "weights": [numbers] or null}}}}, '
            "as many weights as values, and not all of them 0"
        ) from None


def _items(values: Any, weights: Any) -> Items:
    items = Items.of(values, weights)
    if not items.defined or len(items.weights or items.values) != len(items.values):
        raise ValueError
    return items


def compare_metrics(
    runs: Sequence[Metrics], items: Sequence[ItemsOf] = (), terms: Sequence[Terms] = ()
) -> list[dict[str, object]]:
    """Compare runs' metrics, as they stand in result.json, with those of the first run.

    Args:
        runs: metrics by name of each run.
        items: of each run, the items of its metrics, empty where they are unknown or are not those
            of the first run. A metric that both runs have as many items of is compared in pairs.
        terms: what each run's figures depend on; by default the same.

    Returns:
        A row for each metric that any run has, sorted by name: `metric`; `values`, one a run, None
        where it lacks the metric; `differences`, one for each run but the first, run minus first,
        None where either lacks it.
    """
    rows: list[dict[str, object]] = []
    for name in sorted(set().union(*runs)):
        values = [run.get(name) for run in runs]
        measured = [None if value is None else measurement_of(value) for value in values]
        items_of_run = [each.get(name) for each in items] or [None] * len(runs)
        first = measured[0]
        differences = [
            None
            if first is None or other is None
            else _difference(name, (other, first), (of_other, items_of_run[0]), pair).as_json()
            for other, of_other, pair in zip(
                measured[1:], items_of_run[1:], _pairs(terms, runs), strict=True
            )
        ]
        rows.append({"metric": name, "values": values, "differences": differences})
    return rows


def _pairs(terms: Sequence[Terms], runs: Sequence[Metrics]) -> Sequence[tuple[Terms, Terms] | None]:
    """The first run's terms with each other one's; None where there are none."""
    return [(terms[0], each) for each in terms[1:]] or [None] * (len(runs) - 1)


def _difference(
    name: str,
    values: tuple[Measurement, Measurement],
    items: tuple[Items | None, Items | None],
    terms: tuple[Terms, Terms] | None,
) -> Difference:
    """A difference, in pairs where that can be; none is clear of values that don't compare."""
    if reason := why_not(name, *terms, (values[0].n, values[1].n)) if terms else "":
        gap = Measurement(values[0].value - values[1].value, math.nan, math.nan, 0)
        return Difference(gap, difference(*values).overlap, False, reason=reason)
    one, other = items
    if one is None or other is None or len(one.values) != len(other.values):
        return difference(*values)
    return paired_difference(name, *values, one, other)
