"""Metric and what it sees; every value carries a 95 % interval. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Items", "Measurement"]


@dataclass(frozen=True, slots=True)
class Measurement:
    """A measured value with its 95 % interval over n items."""

    value: float
    low: float
    high: float
    n: int

    def as_json(self) -> dict[str, float | int]:
        """As it stands in result.json."""
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n}


@dataclass(frozen=True, slots=True)
class Items:
    """What a metric is made of, item by item, so that two models can be compared in pairs.

    The metric is the sum of the values over the sum of the weights. The order of the items is the
    same for every model that is measured on the same data with the same plan.

    Attributes:
        values: numerators.
        weights: denominators; None: 1 each.
    """

    values: tuple[float, ...]
    weights: tuple[float, ...] | None = None
