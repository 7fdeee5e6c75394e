"""The measurements of a run: as they are gathered, and as its `result.json` holds them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from colaflex.interfaces.metric import Items, Measurement
from colaflex.metrics.names import place

__all__ = [
    "Measurements",
    "as_number",
    "finite",
    "left_out",
    "measurement_of",
    "measurements_of",
    "settings_of",
    "single",
    "vocabulary",
]


@dataclass
class Measurements:
    """Metrics by dotted name, with the outcomes of single items that they sum up.

    Attributes:
        metrics: as in result.json.
        items: of the metrics that are sums over items, as in items.json.
        left_out: of metrics that would mean nothing here, why.
    """

    metrics: dict[str, Measurement] = field(default_factory=dict)
    items: dict[str, Items] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def under(self, prefix: str) -> Measurements:
        """The same with a prefix before every name."""
        return Measurements(
            {f"{prefix}{name}": value for name, value in self.metrics.items()},
            {f"{prefix}{name}": value for name, value in self.items.items()},
            {f"{prefix}{name}": why for name, why in self.left_out.items()},
        )

    def leave_out(self, name: str, why: str) -> None:
        """Take out a metric that would mean nothing here."""
        self.metrics.pop(name, None)
        self.items.pop(name, None)
        self.left_out[name] = why

    def add(self, other: Measurements) -> None:
        """Take in what another one holds."""
        self.metrics |= other.metrics
        self.items |= other.items
        self.left_out |= other.left_out


def measurements_of(result: Mapping[str, Any]) -> dict[str, Measurement]:
    """The metrics of a result; whatever is missing or no number is NaN (n: 0)."""
    metrics = result.get("metrics")
    entries = metrics.items() if isinstance(metrics, Mapping) else ()
    return {str(name): measurement_of(entry) for name, entry in entries}


def measurement_of(raw: Any) -> Measurement:
    """A metric as it stands in `result.json`; what is null, missing or no number is NaN (n: 0)."""
    entry = raw if isinstance(raw, Mapping) else {"value": raw}
    value, low, high, n = (as_number(entry.get(key)) for key in ("value", "low", "high", "n"))
    return Measurement(value, low, high, int(n) if math.isfinite(n) else 0)


def left_out(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Metrics that would mean nothing in this run, with the reason; without those of sweeps.

    What a row of text lacks, it lacks at every point of a sweep.
    """
    reasons = result.get("left_out")
    pairs = reasons.items() if isinstance(reasons, Mapping) else ()
    return [(str(name), str(why)) for name, why in pairs if not place(str(name)).point]


def settings_of(result: Mapping[str, Any]) -> str:
    """The settings by which a result was measured in place of its spec's, in words; or ""."""
    settings = _how_measured(result).get("settings")
    if not isinstance(settings, Mapping):
        return ""
    return ", ".join(f"{k}: {json.dumps(v, ensure_ascii=False)}" for k, v in settings.items())


def vocabulary(result: Mapping[str, Any]) -> int | None:
    """Number of tokens of a result's model; None in results that don't say it."""
    size = _how_measured(result).get("vocab_size")
    return size if isinstance(size, int) else None


def _how_measured(result: Mapping[str, Any]) -> Mapping[str, Any]:
    section = result.get("measurement")
    return section if isinstance(section, Mapping) else {}


def single(value: float) -> Measurement:
    """A figure measured once, such as a timing: no interval is known of it."""
    return Measurement(value, math.nan, math.nan, 1)


def as_number(value: Any) -> float:
    """A JSON number as float; NaN for anything else."""
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if numeric else math.nan


def finite(numbers: Mapping[str, float]) -> dict[str, float | None]:
    """Numbers by name, with null in place of those that JSON doesn't have."""
    return {name: n if math.isfinite(n) else None for name, n in numbers.items()}
