"""Metrics together with the outcomes of single items that they sum up."""

from __future__ import annotations

from dataclasses import dataclass, field

from colaflex.interfaces.metric import Items, Measurement

__all__ = ["Measured"]


@dataclass
class Measured:
    """Metrics by dotted name.

    Attributes:
        metrics: as in result.json.
        items: of the metrics that are sums over items, as in items.json.
        left_out: of metrics that would mean nothing here, why.
    """

    metrics: dict[str, Measurement] = field(default_factory=dict)
    items: dict[str, Items] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def under(self, prefix: str) -> Measured:
        """The same with a prefix before every name."""
        return Measured(
            {f"{prefix}{name}": value for name, value in self.metrics.items()},
            {f"{prefix}{name}": value for name, value in self.items.items()},
            {f"{prefix}{name}": why for name, why in self.left_out.items()},
        )

    def leave_out(self, name: str, why: str) -> None:
        """Take out a metric that would mean nothing here."""
        self.metrics.pop(name, None)
        self.items.pop(name, None)
        self.left_out[name] = why

    def add(self, other: Measured) -> None:
        """Take in what another one holds."""
        self.metrics |= other.metrics
        self.items |= other.items
        self.left_out |= other.left_out
