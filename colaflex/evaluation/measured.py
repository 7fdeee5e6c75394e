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
    """

    metrics: dict[str, Measurement] = field(default_factory=dict)
    items: dict[str, Items] = field(default_factory=dict)

    def under(self, prefix: str) -> Measured:
        """The same with a prefix before every name."""
        return Measured(
            {f"{prefix}{name}": value for name, value in self.metrics.items()},
            {f"{prefix}{name}": value for name, value in self.items.items()},
        )

    def add(self, other: Measured) -> None:
        """Take in what another one holds."""
        self.metrics |= other.metrics
        self.items |= other.items
