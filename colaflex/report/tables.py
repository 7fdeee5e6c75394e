"""What stands in the page's tables: generated text by source, sweeps, families, training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from colaflex.interfaces.metric import Measurement
from colaflex.metrics.catalogue import MetricInfo
from colaflex.metrics.likelihood import signed
from colaflex.metrics.measurements import as_number
from colaflex.metrics.names import (
    SAMPLES,
    beside,
    describe,
    generation_order,
    place,
    row_label,
    row_order,
)
from colaflex.metrics.numbers import (
    compact,
    decimals,
    duration,
    interval,
    number,
    tick,
    unit_text,
    with_unit,
)

__all__ = [
    "Cell",
    "Generation",
    "MetricRow",
    "Sweep",
    "family_rows",
    "generation_of",
    "parameter_shares",
    "stage_rows",
    "sweeps_of",
]

_COSTS = {"network_evaluations_per_block": "network_evaluations"}
"""What sampling costs at a point of a sweep, as it stands beside the quality of its texts."""

Setting = float | str
Point = tuple[tuple[str, Setting], ...]

_ARROWS = {"higher": "↑", "lower": "↓", "real": "≈"}


@dataclass(frozen=True, slots=True)
class Cell:
    """A value as it is printed: number and interval, both without unit."""

    value: str
    interval: str
    n: int


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One metric in a table of metrics."""

    name: str
    label: str
    unit: str
    arrow: str
    meaning: str
    value: str
    interval: str
    n: int


@dataclass(frozen=True)
class Generation:
    """Metrics of generated text: sources down, metrics across."""

    rows: list[str]
    metrics: list[str]
    table: Mapping[tuple[str, str], Measurement]
    known: Mapping[str, Measurement] = field(default_factory=dict)

    def beside(self, row: str, metric: str, n: int) -> Measurement | None:
        """One measurement as it compares with those of n texts, None where it doesn't."""
        of = "" if row == "model" else f"{row}."
        return beside(self.known, f"generation.{of}{metric}", n)

    def at(self, row: str, metric: str) -> Measurement | None:
        """One measurement, None where there is none."""
        return self.table.get((row, metric))

    def heads(self) -> list[tuple[str, MetricInfo, str]]:
        """Of each metric its name, its description and the arrow of its better direction."""
        infos = [(metric, describe(f"generation.{metric}")) for metric in self.metrics]
        return [(metric, info, _ARROWS.get(info.better or "", "")) for metric, info in infos]

    def lines(self) -> list[tuple[str, str, list[Cell | None]]]:
        """Of each source its name, its label and its cells."""
        columns = [_column([self.at(row, m) for row in self.rows], m) for m in self.metrics]
        return [
            (row, row_label(row), [column[index] for column in columns])
            for index, row in enumerate(self.rows)
        ]


@dataclass(frozen=True)
class Sweep:
    """Metrics of generated text over the values of one sampling setting, `fixed` ones at theirs."""

    axis: str
    values: list[Setting]
    metrics: list[str]
    table: Mapping[tuple[Setting, str], Measurement]
    fixed: Point = ()

    @property
    def title(self) -> str:
        """What is swept, e.g. "temperature at guidance 2"."""
        return self.label + _at_point(self.fixed)

    @property
    def label(self) -> str:
        """The setting in words, e.g. "drawn steps"."""
        return self.axis.replace("_", " ")

    @property
    def evaluations(self) -> dict[Setting, float]:
        """Network evaluations per block of each value, where they were all measured."""
        counts = {at: self.table.get((at, "network_evaluations")) for at in self.values}
        known = {at: m.value for at, m in counts.items() if m and math.isfinite(m.value)}
        return known if len(known) == len(self.values) else {}

    def points(self, metric: str) -> list[tuple[float, Measurement]]:
        """Numbers among the values, and finite measurements of one metric, in order."""
        numbers = [at for at in self.values if not isinstance(at, str)]
        pairs = [(at, self.table.get((at, metric))) for at in numbers]
        return [(at, m) for at, m in pairs if m and math.isfinite(m.value)]

    def heads(self) -> list[MetricInfo]:
        """Descriptions of the metrics."""
        return [describe(f"generation.{metric}") for metric in self.metrics]

    def lines(self) -> list[tuple[str, list[Cell | None]]]:
        """Of each value its text and its cells."""
        columns = [
            _column([self.table.get((at, m)) for at in self.values], m) for m in self.metrics
        ]
        return [
            (tick(at), [column[index] for column in columns])
            for index, at in enumerate(self.values)
        ]


def generation_of(metrics: Mapping[str, Measurement]) -> Generation:
    """The metrics of generated text that belong to no sweep."""
    table = {}
    for name, measurement in metrics.items():
        at = place(name)
        if at.family == "generation" and not at.point and at.metric:
            table[at.row, at.metric] = measurement
    return Generation(
        sorted({row for row, _ in table}, key=row_order),
        sorted({metric for _, metric in table}, key=generation_order),
        table,
        metrics,
    )


def sweeps_of(metrics: Mapping[str, Measurement]) -> list[Sweep]:
    """Every sweep; steps, drawn steps, guidance and temperature first, then each line of a grid."""
    tables: dict[tuple[Point, str], dict[tuple[Setting, str], Measurement]] = {}
    for name, measurement in metrics.items():
        at = place(name)
        metric = at.metric if at.family == "generation" else _COSTS.get(at.metric)
        if at.point and at.axis != SAMPLES and metric:
            *fixed, (axis, value) = at.point
            tables.setdefault((tuple(fixed), axis), {})[value, metric] = measurement
    return [
        Sweep(
            axis,
            sorted({value for value, _ in table}, key=_value_order),
            sorted({metric for _, metric in table}, key=generation_order),
            table,
            fixed,
        )
        for (fixed, axis), table in sorted(tables.items(), key=_sweep_order)
        if any(metric not in _COSTS.values() for _, metric in table)
    ]


def family_rows(
    metrics: Mapping[str, Measurement], *families: str, likelihood: object = "exact"
) -> list[MetricRow]:
    """Rows of all metrics of the named families, or of all families if none is named.

    Likelihoods have their sign, by what the model declares.
    """
    rows = []
    for name, measurement in metrics.items():
        if families and place(name).family not in families:
            continue
        info = describe(name)
        places = decimals([measurement], info.unit)
        rows.append(
            MetricRow(
                name,
                info.label + _at_point(place(name).point),
                unit_text(info.unit),
                _ARROWS.get(info.better or "", ""),
                info.meaning,
                signed(name, number(measurement.value, info.unit, places), likelihood),
                interval(measurement, info.unit, places),
                measurement.n,
            )
        )
    return rows


def _column(column: Sequence[Measurement | None], metric: str) -> list[Cell | None]:
    """Measurements of one metric as printed, with the same number of decimals."""
    unit = describe(f"generation.{metric}").unit
    places = decimals([m for m in column if m], unit)
    return [
        Cell(number(m.value, unit, places), interval(m, unit, places), m.n) if m else None
        for m in column
    ]


def parameter_shares(result: Mapping[str, Any]) -> list[tuple[str, str, float]]:
    """Of each part its name, its parameters as text and its share of the total."""
    raw = result.get("parameters")
    counts = {
        str(part): float(count)
        for part, count in (raw.items() if isinstance(raw, Mapping) else ())
        if part != "total" and isinstance(count, int | float)
    }
    whole = sum(counts.values()) or 1.0
    return [(part, compact(count), count / whole) for part, count in counts.items()]


def stage_rows(result: Mapping[str, Any]) -> list[tuple[str, list[str], list[str]]]:
    """Of each stage and of the whole: name, printed figures, further remarks."""
    training = result.get("training")
    if not isinstance(training, Mapping):
        return []
    raw = training.get("stages")
    listed = [s for s in raw if isinstance(s, Mapping)] if isinstance(raw, list) else []
    stages = raw if isinstance(raw, Mapping) else {str(s.get("name", "")): s for s in listed}
    rows = [(str(name), entry) for name, entry in stages.items() if isinstance(entry, Mapping)]
    rows.append(("all", training))
    return [
        (name, _figures(entry), [key for key in entry if entry[key] is True])
        for name, entry in rows
    ]


def _figures(entry: Mapping[str, Any]) -> list[str]:
    steps, tokens, flops = (as_number(entry.get(key)) for key in ("steps", "tokens", "flops"))
    rate = as_number(entry.get("tokens_per_second"))
    return [
        f"{steps:,.0f}" if math.isfinite(steps) else compact(steps),
        compact(tokens),
        compact(flops),
        duration(as_number(entry.get("seconds"))),
        with_unit(compact(rate), "tokens/s"),
    ]


def _sweep_order(item: tuple[tuple[Point, str], object]) -> tuple[object, ...]:
    known = ("steps", "drawn_steps", "guidance", "temperature")
    (fixed, axis), _ = item
    at = [(setting, _value_order(value)) for setting, value in fixed]
    return len(fixed), known.index(axis) if axis in known else len(known), axis, at


def _value_order(value: Setting) -> tuple[bool, float, str]:
    """Numbers first, then words."""
    return (True, 0.0, value) if isinstance(value, str) else (False, value, "")


def _at_point(point: Point) -> str:
    """Words for a point, e.g. " at guidance 2"; none at the spec's own settings."""
    return "".join(f" at {setting} {tick(value)}" for setting, value in point)
