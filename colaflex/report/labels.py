"""Text beside the points of a figure, where it covers the least."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Label", "write_labels"]

_FONT = 8.5
_UPS = (7, -7, 0, 16, -16, 26, -26)
_Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Label:
    """Text that belongs to a point."""

    x: float
    y: float
    text: str
    colour: str
    bold: bool = False


def write_labels(axes: Axes, labels: Sequence[Label]) -> None:
    """Write each label beside its point, where it covers the least of other labels and points."""
    figure = cast("Any", axes.figure)
    figure.draw_without_rendering()  # settles the layout, so that places are known
    points = [tuple(axes.transData.transform((label.x, label.y))) for label in labels]
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in points]
    unit = figure.dpi / 72
    offsets = [(side * reach, up) for reach, up, side in product((8, 18), _UPS, (1, -1))]
    for label, (x, y) in zip(labels, points, strict=True):
        boxes = {offset: _box(x, y, offset, label.text, unit) for offset in offsets}
        best = min(boxes, key=lambda one: sum(_overlap(boxes[one], other) for other in taken))
        taken.append(boxes[best])
        axes.annotate(
            label.text,
            (label.x, label.y),
            xytext=best,
            textcoords="offset points",
            ha="left" if best[0] > 0 else "right",
            va="center",
            color=label.colour,
            fontsize=_FONT,
            fontweight="bold" if label.bold else "normal",
        )


def _box(x: float, y: float, offset: tuple[int, int], text: str, unit: float) -> _Box:
    """About where a text stands (left, bottom, right, top), an offset in points from a place."""
    width, height = 0.6 * _FONT * len(text), 1.2 * _FONT
    left = x + unit * (offset[0] if offset[0] > 0 else offset[0] - width)
    middle = y + unit * offset[1]
    return left, middle - unit * height / 2, left + unit * width, middle + unit * height / 2


def _overlap(one: _Box, other: _Box) -> float:
    """Shared area of two boxes."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)
