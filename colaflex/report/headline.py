"""The top of the page: what the run is, in words, and its main results."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from colaflex.interfaces.metric import Measurement
from colaflex.metrics.catalogue import HEADLINES
from colaflex.metrics.likelihood import signed
from colaflex.metrics.measurements import as_number
from colaflex.metrics.names import describe
from colaflex.metrics.numbers import (
    MISSING,
    compact,
    decimals,
    duration,
    interval,
    number,
    tick,
    unit_text,
)
from colaflex.report.run_record import RunRecord, components

__all__ = ["Cost", "Result", "costs", "knobs", "main_results", "parts", "value_at"]

_KNOBS = {
    "latent dim": ("representation", "latent_dim"),
    "logSNR": ("representation", "log_snr"),
    "schedule loc": ("prior", "schedule", "loc"),
    "block": ("prior", "block_size"),
}


@dataclass(frozen=True, slots=True)
class Result:
    """A main result: its printed value, its interval, and real text's value beside it."""

    label: str
    value: str
    unit: str
    interval: str
    real: str
    meaning: str

    @property
    def phrase(self) -> tuple[str, str]:
        """What to say before and behind the value: "62 % valid ..." but "a judge NLL of 3.6"."""
        return ("", self.label) if self.unit == "%" else (f"a {self.label} of", "")


@dataclass(frozen=True, slots=True)
class Cost:
    """What the run took of something, or one of its settings."""

    label: str
    value: str


def parts(record: RunRecord) -> dict[str, str]:
    """Kind to component name, of the kinds that say what a model is; "" where there is none."""
    kinds = ("corpus", "segmenter", "representation", "prior", "baseline")
    names = {row.kind: row.name for row in components(record.result)}
    return {kind: names.get(kind, "") for kind in kinds}


def main_results(
    metrics: Mapping[str, Measurement], limit: int = 5, likelihood: object = "exact"
) -> list[Result]:
    """The first results of `HEADLINES` that the run has; likelihoods with their sign."""
    results = []
    for name in HEADLINES:
        measurement = metrics.get(name)
        if measurement is None or not math.isfinite(measurement.value):
            continue
        info = describe(name)
        places = decimals([measurement], info.unit)
        real = metrics.get(name.replace("generation.", "generation.real.", 1))
        beside = real is not None and real is not measurement and math.isfinite(real.value)
        results.append(
            Result(
                info.label,
                signed(name, number(measurement.value, info.unit, places), likelihood),
                unit_text(info.unit),
                interval(measurement, info.unit, places),
                number(real.value, info.unit, places) if real and beside else "",
                info.meaning,
            )
        )
    return results[:limit]


def costs(record: RunRecord) -> list[Cost]:
    """Time, parameters, compute and tokens, as far as they are known."""

    def took(*path: str) -> float:
        return as_number(value_at(record.result, *path))

    rows = [
        Cost("training time", duration(took("training", "seconds"))),
        Cost("parameters", compact(took("parameters", "total"))),
        Cost("model FLOPs", compact(took("training", "flops"))),
        Cost("training tokens", compact(took("training", "tokens"))),
    ]
    return [row for row in rows if row.value != MISSING]


def knobs(record: RunRecord) -> list[Cost]:
    """The four settings that are calibrated together, as far as the spec has them."""
    values = [(label, value_at(record.settings, *path)) for label, path in _KNOBS.items()]
    return [
        Cost(label, tick(value) if isinstance(value, int | float) else str(value))
        for label, value in values
        if isinstance(value, int | float | str)
    ]


def value_at(value: Any, *path: str) -> Any:
    """What stands at a key path of nested maps, or None."""
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
