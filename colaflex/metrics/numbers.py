"""Numbers as people read them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import median

from colaflex.interfaces.metric import Measurement

__all__ = [
    "MISSING",
    "compact",
    "decimals",
    "duration",
    "interval",
    "number",
    "tick",
    "unit_text",
    "with_unit",
]

_LARGE = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
MISSING = "—"


def compact(value: float) -> str:
    """Three significant figures with an SI prefix: 2,700,000 is "2.7 M"."""
    if not math.isfinite(value):
        return MISSING
    for size, prefix in _LARGE:
        if abs(value) >= 0.9995 * size:
            return f"{_significant(value / size, 3)} {prefix}"
    return _significant(value, 3)


def duration(seconds: float) -> str:
    """A span of time in the two largest units that matter."""
    if not math.isfinite(seconds):
        return MISSING
    if seconds < 10:
        return f"{_significant(seconds, 2)} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def decimals(measurements: Iterable[Measurement], unit: str = "") -> int | None:
    """How many decimals a column of measurements deserves, by its intervals; None: unknown.

    The median half-width keeps its first digit; nothing is cut below one decimal of a percentage.
    """
    scale = 100 if unit == "share" else 1
    halves = [scale * (m.high - m.low) / 2 for m in measurements]
    halves = [half for half in halves if half > 0 and math.isfinite(half)]
    if not halves:
        return None
    places = math.ceil(-math.log10(median(halves)))
    return min(max(places, 1 if unit == "share" else 0), 3 if unit == "share" else 6)


def number(value: float, unit: str = "", places: int | None = None) -> str:
    """A metric's value without its unit, fractions ("share") in percent.

    Three significant figures, or the given number of decimal places.
    """
    if not math.isfinite(value):
        return MISSING
    if value < 0:
        text = number(-value, unit, places)
        return f"−{text}" if text.strip("0.") else text
    if unit == "share" and value < 1e5:
        return f"{100 * value:.{1 if places is None else places}f}"
    if unit in ("bytes", "tokens/s") or value >= 1e5:
        return compact(value)
    if places is not None:
        return f"{value:,.{places}f}"
    if value == 0 or value >= 0.1:
        return f"{value:,.0f}" if value >= 1000 else _significant(value, 3)
    return _significant(value, 2)


def with_unit(text: str, unit: str) -> str:
    """A printed number with its unit; an SI prefix joins the byte."""
    if text == MISSING or not unit:
        return text
    short = unit_text(unit)
    return f"{text}{short}" if short == "B" and text[-1].isalpha() else f"{text} {short}"


def unit_text(unit: str) -> str:
    """A unit as it is printed."""
    return {"share": "%", "bytes": "B"}.get(unit, unit)


def interval(measurement: Measurement, unit: str = "", places: int | None = None) -> str:
    """The bounds of the 95 % interval, or "" where there is none."""
    if not (math.isfinite(measurement.low) and math.isfinite(measurement.high)):
        return ""
    if measurement.low == measurement.high:
        return ""
    low, high = number(measurement.low, unit, places), number(measurement.high, unit, places)
    return f"{low} to {high}" if measurement.low < 0 else f"{low} – {high}"


def tick(value: float | str) -> str:
    """A number on an axis or a swept value, as short as it goes; a word as it is."""
    if isinstance(value, str):
        return value
    text = compact(value) if abs(value) >= 10_000 else f"{value:.4g}"
    return text.replace("-", "−")


def _significant(value: float, digits: int) -> str:
    """Rounded to significant digits, without exponent unless it is tiny or huge."""
    if value == 0:
        return "0"
    scientific = f"{value:.{digits - 1}e}"  # rounds first: 999.6 has the magnitude of 1000
    magnitude = int(scientific.partition("e")[2])
    if magnitude < -4:
        return scientific
    decimals = max(0, digits - 1 - magnitude)
    return f"{value:.{decimals}f}"
