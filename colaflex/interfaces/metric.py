"""Metric and what it sees; every value carries a 95 % interval. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Items", "Measurement"]

_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Measurement:
    """A measured value with its 95 % interval over n items.

    Example:
        >>> Measurement(0.5, low=0.4, high=0.6, n=100).as_json()
        {'value': 0.5, 'low': 0.4, 'high': 0.6, 'n': 100}
    """

    value: float
    low: float
    high: float
    n: int

    def as_json(self) -> dict[str, float | int]:
        """As it stands in result.json."""
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n}


@dataclass(frozen=True, slots=True)
class Items:
    """What a metric found of every item, so that models can be compared item by item.

    The metric is the sum of the values over the sum of the weights. Items are in an order that is
    the same for every model measured on the same data by the same plan.

    Attributes:
        values: numerators, e.g. the nats of every document.
        weights: denominators, e.g. its tokens; None where each is 1.

    Example:
        >>> nats, tokens = [310.0, 95.5], [120, 40]  # of every document
        >>> Items.of(nats, tokens).defined
        True
    """

    values: tuple[float, ...]
    weights: tuple[float, ...] | None = None

    @classmethod
    def of(cls, values: Iterable[float], weights: Iterable[float] | None = None) -> Items:
        """Items from any numbers, booleans and arrays among them."""
        over = None if weights is None else tuple(map(float, weights))
        return cls(tuple(map(float, values)), over)

    @property
    def defined(self) -> bool:
        """Whether the metric has a value: all numbers are finite, and something is weighed."""
        weights = (1.0,) * len(self.values) if self.weights is None else self.weights
        return all(map(math.isfinite, (*self.values, *weights))) and sum(weights) > 0

    def as_json(self) -> dict[str, list[float] | None]:
        """As they stand in items.json: rounded to six significant digits."""
        weights = None if self.weights is None else [_rounded(w) for w in self.weights]
        return {"values": [_rounded(v) for v in self.values], "weights": weights}


def _rounded(number: float) -> float:
    short = float(f"{number:.{_DIGITS}g}")
    return int(short) if short.is_integer() and abs(short) < 10**_DIGITS else short
