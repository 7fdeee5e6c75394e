"""What a row reaches at each sampling setting that was tried, and which of them are worth it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from colaflex.interfaces.metric import Measurement
from colaflex.leaderboard.standings import Entry
from colaflex.metrics.names import SAMPLES, beside, place
from colaflex.metrics.numbers import tick
from colaflex.statistics.front import front

__all__ = ["Level", "Point", "front_line", "frontier", "levels", "timed"]

_SPEEDS = ("speed.tokens_per_second", "speed.generation_tokens_per_second")
Settings = tuple[tuple[str, float | str], ...]


@dataclass(frozen=True, slots=True)
class Point:
    """Two measured values of a row at one setting.

    Attributes:
        settings: (axis, value) pairs; none for the setting of the row's spec.
        x: what is given: tokens per second, or diversity.
        y: what is had for it: the quality.
    """

    settings: Settings
    x: Measurement
    y: Measurement

    @property
    def text(self) -> str:
        """The settings in words."""
        return ", ".join(f"{axis.replace('_', ' ')} {tick(at)}" for axis, at in self.settings)


@dataclass(frozen=True)
class Level:
    """A quality, and the fastest setting by which each row reaches it (None: by none)."""

    value: float
    fastest: Mapping[str, Point | None]

    @property
    def by_speed(self) -> list[tuple[str, Point]]:
        """The rows that reach it, fastest first."""
        reached = [(name, point) for name, point in self.fastest.items() if point is not None]
        return sorted(reached, key=lambda item: -item[1].x.value)


def by_settings(
    metrics: Mapping[str, Measurement], family: str
) -> dict[Settings, dict[str, Measurement]]:
    """The metrics of a family that belong to a sweep, by setting."""
    by_setting: dict[Settings, dict[str, Measurement]] = {}
    for name, measured in metrics.items():
        at = place(name)
        own = at.row == "model" and at.axis != SAMPLES
        if at.family == family and at.point and own and math.isfinite(measured.value):
            by_setting.setdefault(at.point, {})[at.metric] = measured
    return by_setting


def frontier(row: Entry, quality: str, diversity: str) -> list[Point]:
    """Diversity and quality at every setting of guidance and temperature, the spec's own first.

    Args:
        row: whose metrics.
        quality: metric of generated text, without its family.
        diversity: likewise.
    """
    points: list[Point] = []
    for settings, metrics in by_settings(row.metrics, "generation").items():
        axes = {axis for axis, _ in settings}
        if axes <= {"guidance", "temperature"} and quality in metrics and diversity in metrics:
            points.append(Point(settings, metrics[diversity], metrics[quality]))
    own = [row.metrics.get(f"generation.{name}") for name in (diversity, quality)]
    if points:  # the row's own texts may be more than a point's
        own[0] = beside(row.metrics, f"generation.{diversity}", points[0].x.n)
    points[:0] = [Point((), own[0], own[1])] if own[0] and own[1] else []
    return [p for p in points if math.isfinite(p.x.value) and math.isfinite(p.y.value)]


def timed(row: Entry, quality: str) -> list[Point]:
    """Tokens per second and quality, of the spec's own setting and of those that are timed."""
    speed = next((row.metrics[name] for name in _SPEEDS if name in row.metrics), None)
    own = row.metrics.get(f"generation.{quality}")
    points = [Point((), speed, own)] if speed and own else []
    speeds = by_settings(row.metrics, "speed")
    for settings, metrics in by_settings(row.metrics, "generation").items():
        rate = speeds.get(settings, {}).get("tokens_per_second")
        if rate and quality in metrics:
            points.append(Point(settings, rate, metrics[quality]))
    points = [p for p in points if p.x.value > 0 and math.isfinite(p.x.value * p.y.value)]
    return sorted(points, key=lambda point: point.x.value)


def front_line(points: Sequence[tuple[float, float]], x_sign: float, y_sign: float) -> list[int]:
    """Indices of the points that none beats in both values, in the order of x; equal ones once.

    Args:
        points: (x, y) of each.
        x_sign: 1 where more of x is better, -1 where less is.
        y_sign: likewise.
    """
    first = {points[index]: index for index in reversed(front(points, (x_sign, y_sign)))}
    return sorted(first.values(), key=lambda index: points[index][0])


def levels(rows: Mapping[str, Sequence[Point]], y_sign: float) -> list[Level]:
    """The qualities that all rows, half of them and the best one reach, and how fast.

    Args:
        rows: what `timed` found, by name of row.
        y_sign: 1 where more quality is better, -1 where less is.
    """
    reach = sorted(max(y_sign * p.y.value for p in points) for points in rows.values() if points)
    if not reach:
        return []
    chosen = dict.fromkeys((reach[0], reach[len(reach) // 2], reach[-1]))
    return [
        Level(
            y_sign * wanted,
            {
                name: max(
                    (p for p in points if y_sign * p.y.value >= wanted),
                    key=lambda p: p.x.value,
                    default=None,
                )
                for name, points in rows.items()
                if points
            },
        )
        for wanted in chosen
    ]
