"""The searched keys as axes: where a value stands, and what is written there."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from colaflex.metrics.numbers import tick
from colaflex.report.drawing import elide, log_axis
from colaflex.studies.objective import Point, Value, is_number
from colaflex.studies.summary import SpaceRow, StudySummary

__all__ = ["KnobAxis", "knobs_of", "point_text", "short_names", "value_text"]

Kind = Literal["range", "levels", "categories"]

_DECADES = 100.0  # a logarithmic range beyond this ratio has ticks at powers of ten alone


@dataclass(frozen=True, slots=True)
class KnobAxis:
    """A searched key.

    Attributes:
        path: of the key.
        name: short, and no other key's.
        kind: a range of numbers, some numbers, or choices without an order.
        levels: the choices; numbers in their order.
        low: end of a range.
        high: end of a range.
        log: whether a range is logarithmic.
    """

    path: str
    name: str
    kind: Kind
    levels: tuple[Value, ...] = ()
    low: float = math.nan
    high: float = math.nan
    log: bool = False

    @property
    def limits(self) -> tuple[float, float]:
        """Ends of the axis, with room for what stands at them."""
        if self.kind != "range":
            return -0.5, len(self.levels) - 0.5
        if self.log:
            room = (self.high / self.low) ** 0.04
            return self.low / room, self.high * room
        room = 0.04 * (self.high - self.low)
        return self.low - room, self.high + room

    def place(self, point: Point) -> float:
        """Where a point stands on the axis; NaN where the key has no meaning there."""
        value = point.get(self.path)
        if value is None:
            return math.nan
        if self.kind == "range":
            return float(value) if _is_finite(value) else math.nan
        return next((i for i, level in enumerate(self.levels) if _same(level, value)), math.nan)

    def unit(self, place: float) -> float:
        """A place on the axis as a share of it."""
        if self.kind != "range":
            return place / max(1, len(self.levels) - 1)
        if self.log:
            return math.log(place / self.low) / math.log(self.high / self.low)
        return (place - self.low) / (self.high - self.low)

    @property
    def reach(self) -> float:
        """The share of the axis within which a trial is near: beyond the next level, if any."""
        return 0.22 if self.kind == "range" else max(0.22, 0.75 / max(1, len(self.levels) - 1))

    def at(self, unit: float) -> float:
        """The place at a share of the axis: what `unit` undoes."""
        if self.kind != "range":
            return unit * max(1, len(self.levels) - 1)
        if self.log:
            return float(self.low * (self.high / self.low) ** unit)
        return self.low + unit * (self.high - self.low)

    def prepare(self, axis: Any) -> None:
        """Scale and ticks of a matplotlib axis, on which places stand as they are."""
        if self.kind == "range":
            if self.log:
                log_axis(axis)
            if self.log and self.high / self.low > _DECADES:
                from matplotlib.ticker import LogLocator

                axis.set_major_locator(LogLocator(subs=(1.0,), numticks=6))
            return
        step = -(-len(self.levels) // 12)
        shown = range(0, len(self.levels), step)
        axis.set_ticks(list(shown), [elide(value_text(self.levels[i]), 16) for i in shown])


def knobs_of(summary: StudySummary) -> list[KnobAxis]:
    """The searched keys in the order of the space; what can't vary is left out."""
    rows: dict[str, list[SpaceRow]] = {}
    for row in summary.space:
        rows.setdefault(row.path, []).append(row)
    names = short_names(rows)
    axes = (_knob(path, names[path], group, summary) for path, group in rows.items())
    return [knob for knob in axes if knob is not None]


def short_names(paths: Iterable[str]) -> dict[str, str]:
    """For each key path the shortest end of it that no other path has: `loc`, `latent_dim`."""
    parts = {path: path.split(".") for path in paths}
    names = {}
    for path, own in parts.items():
        others = [other for each, other in parts.items() if each != path]
        length = next(
            (n for n in range(1, len(own)) if all(other[-n:] != own[-n:] for other in others)),
            len(own),
        )
        names[path] = ".".join(own[-length:])
    return names


def value_text(value: Value | None) -> str:
    """A value as it is read on the page."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return tick(value) if math.isfinite(value) else ""
    return value


def point_text(point: Point, knobs: Sequence[KnobAxis]) -> str:
    """A point in words: the searched keys, then any others."""
    names = {knob.path: knob.name for knob in knobs}
    keys = [*(path for path in names if path in point), *(key for key in point if key not in names)]
    return ", ".join(f"{names.get(key, key)}\u00a0{value_text(point[key])}" for key in keys)


def _knob(path: str, name: str, rows: Sequence[SpaceRow], summary: StudySummary) -> KnobAxis | None:
    choices = tuple(dict.fromkeys((type(c), c) for row in rows for c in row.choices))
    ends = [end for row in rows for end in (row.low, row.high) if end is not None]
    levels = tuple(choice for _, choice in choices)
    if levels and not (ends and all(_is_finite(level) for level in levels)):
        if all(_is_finite(level) for level in levels):
            ordered = tuple(sorted(levels, key=float))
            return KnobAxis(path, name, "levels", ordered) if len(ordered) > 1 else None
        return KnobAxis(path, name, "categories", levels) if len(levels) > 1 else None
    places = [float(v) for v in (*levels, *_tried(path, summary)) if _is_finite(v)]
    low, high = min([*ends, *places], default=0.0), max([*ends, *places], default=0.0)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        return None
    return KnobAxis(
        path, name, "range", (), low, high, log=low > 0 and any(row.log for row in rows)
    )


def _tried(path: str, summary: StudySummary) -> list[Value]:
    records = (record for arm in summary.arms.values() for record in arm.records)
    return [record.point[path] for record in records if path in record.point]


def _is_finite(value: Any) -> bool:
    return is_number(value) and math.isfinite(value)


def _same(one: Value, other: Value) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)
