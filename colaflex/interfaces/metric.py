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
    """A metric's outcomes item by item: it is Σ values / Σ weights, with weights 1 where None."""

    values: tuple[float, ...]
    weights: tuple[float, ...] | None = None
