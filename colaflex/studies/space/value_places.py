"""Values of a distribution by their place in it: from 0, its lowest, to 1, its highest."""

from __future__ import annotations

import math

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from colaflex.studies.objective import Value

__all__ = ["all_values", "even", "place_of", "value_at"]

LISTED = 1001
"""So many values of a range at most are listed; of a wider one, as many evenly spaced ones."""


def value_at(distribution: BaseDistribution, place: float) -> Value:
    """The value at a place; choices and steps take equal shares, log ranges by their logarithm."""
    count = _count(distribution)
    index = 0 if count is None else min(int(place * count), count - 1)
    match distribution:
        case CategoricalDistribution(choices=choices):
            choice: Value = choices[index]  # type: ignore[assignment]
            return choice
        case FloatDistribution(low=low, high=high, step=None, log=log):
            if log:
                number = math.exp(math.log(low) + place * (math.log(high) - math.log(low)))
            else:
                number = low + place * (high - low)
            return float(min(max(number, low), high))
        case FloatDistribution(low=low, high=high, step=float(step)):
            return float(min(low + index * step, high))
        case IntDistribution(low=low, high=high, log=True):
            ends = math.log(low - 0.5), math.log(high + 0.5)
            return min(max(round(math.exp(ends[0] + place * (ends[1] - ends[0]))), low), high)
        case IntDistribution(low=low, step=step):
            return int(low + index * step)
    raise TypeError(f"there is no order in {distribution}")


def place_of(distribution: BaseDistribution, value: Value) -> float:
    """Where a value is: the middle of its share, so that `value_at` gives it back."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            return (choices.index(value) + 0.5) / len(choices)
        case FloatDistribution(low=low, high=high, step=None, log=log):
            number = float(value)
            if low == high:
                return 0.5
            if log:
                return math.log(number / low) / math.log(high / low)
            return (number - low) / (high - low)
        case IntDistribution(low=low, high=high, log=True):
            return math.log(float(value) / (low - 0.5)) / math.log((high + 0.5) / (low - 0.5))
        case FloatDistribution(low=low, step=float(step)) | IntDistribution(low=low, step=step):
            count = _count(distribution)
            assert count is not None
            return (round((float(value) - low) / step) + 0.5) / count
    raise TypeError(f"there is no order in {distribution}")


def even(distribution: BaseDistribution, count: int) -> list[Value]:
    """So many values, both ends among them, evenly spaced; fewer where there are no more."""
    if count == 1:
        return [value_at(distribution, 0.5)]
    places = [index / (count - 1) for index in range(count)]
    return list(dict.fromkeys(value_at(distribution, place) for place in places))


def all_values(distribution: BaseDistribution, dense: int) -> list[Value]:
    """All values; of a range without steps `dense` evenly spaced ones."""
    count = _count(distribution)
    if count is None:
        return even(distribution, dense)
    if count > LISTED:
        return even(distribution, LISTED)
    if isinstance(distribution, IntDistribution):
        return [*range(distribution.low, distribution.high + 1, distribution.step)]
    return [value_at(distribution, (index + 0.5) / count) for index in range(count)]


def _count(distribution: BaseDistribution) -> int | None:
    """How many values there are; None: too many to count."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            return len(choices)
        case IntDistribution(low=low, high=high, step=step):
            return (high - low) // step + 1
        case FloatDistribution(low=low, high=high, step=float(step)):
            return math.floor((high - low) / step + 1e-9) + 1
    return None
