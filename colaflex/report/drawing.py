"""What all figures share: one style, colours that follow the page, SVG inside HTML, labels.

Matplotlib paints with stand-in colours, which become the page's CSS variables, so that one figure
serves light and dark. Text stays text and takes the page's font.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import product
from typing import TYPE_CHECKING, Any, cast
from xml.etree import ElementTree  # reads only what matplotlib has just written

from colaflex.interfaces.metric import Measurement
from colaflex.metrics.catalogue import MetricInfo
from colaflex.metrics.numbers import tick

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "COLOURS",
    "SERIES",
    "Figure",
    "Label",
    "axis_label",
    "axis_title",
    "capital",
    "draw",
    "elide",
    "ends",
    "log_axis",
    "or_value",
    "plots_available",
    "scale_of",
    "spread",
    "with_errors",
    "write_labels",
]

COLOURS: dict[str, str] = {
    "ink": "#0a0b01",
    "muted": "#0a0b02",
    "rule": "#0a0b03",
    "panel": "#0a0b04",
    **{f"series-{number}": f"#0a0b1{number}" for number in range(1, 7)},
}
"""CSS variable of the page to the colour that stands for it while matplotlib paints."""

SERIES = tuple(colour for name, colour in COLOURS.items() if name.startswith("series"))

_STAND_IN = re.compile("|".join(COLOURS.values()))
_VARIABLE = {colour: f"var(--{name})" for name, colour in COLOURS.items()}
_FONT_FAMILY = re.compile(r"font-family: [^;]+;? ?|(?<=px )'[^;]+")
_LONG_DECIMALS = re.compile(r"(\.\d\d)\d+")
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "colaflex",
    "text.parse_math": False,
    "font.size": 9.0,
    "axes.labelsize": 9.0,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": COLOURS["rule"],
    "axes.labelcolor": COLOURS["muted"],
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": COLOURS["rule"],
    "grid.linewidth": 0.6,
    "figure.facecolor": "none",
    "text.color": COLOURS["ink"],
    "xtick.color": COLOURS["rule"],
    "ytick.color": COLOURS["rule"],
    "xtick.labelcolor": COLOURS["muted"],
    "ytick.labelcolor": COLOURS["muted"],
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.major.size": 3.0,
    "ytick.major.size": 0.0,
    "xtick.minor.size": 0.0,
    "ytick.minor.size": 0.0,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
}


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of the page: an `<svg>` element with what stands above it."""

    title: str
    note: str
    svg: str


def plots_available() -> bool:
    """Whether matplotlib is installed."""
    try:
        return find_spec("matplotlib") is not None
    except ValueError:  # raised for a module that is blocked in sys.modules
        return False


def draw(
    key: str, title: str, paint: Callable[[Axes], None], size: tuple[float, float] = (3.75, 2.45)
) -> str:
    """Paint one pair of axes and return it as an `<svg>` element for a page.

    Args:
        key: unique on the page; prefixes every id within the figure.
        title: what a screen reader says.
        paint: paints the axes.
        size: width and height in inches, at 72 units an inch.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    buffer = io.StringIO()
    with mpl.rc_context(cast("Any", _STYLE)), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the page's font is used
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.add_subplot()
        paint(axes)
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(_METADATA), transparent=True)
    return _inline(buffer.getvalue(), key, title)


_METADATA = ("Creator", "Date", "Format", "Type")


def _inline(svg: str, key: str, title: str) -> str:
    """An SVG document as an element of a page: no prologue, ids of its own, the page's colours."""
    root = ElementTree.fromstring(svg[svg.index("<svg") :])  # noqa: S314
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.tail = None
        if element.tag != "text":
            element.text = None
        attributes = {name.rpartition("}")[2]: value for name, value in element.attrib.items()}
        element.attrib.clear()
        element.attrib |= {name: _attribute(name, value, key) for name, value in attributes.items()}
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in ("metadata", "style"):
                parent.remove(child)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.attrib |= {"role": "img", "aria-label": title}
    return ElementTree.tostring(root, encoding="unicode")


def _attribute(name: str, value: str, key: str) -> str:
    """An attribute's value within the page: own ids, the page's colours and font, short numbers."""
    if name == "id":
        return f"{key}-{value}"
    if name == "href":
        return f"#{key}-{value.removeprefix('#')}"
    if name == "style":
        value = _FONT_FAMILY.sub(lambda match: "var(--sans)" if match[0][0] == "'" else "", value)
        value = _STAND_IN.sub(lambda match: _VARIABLE[match[0]], value)
    elif name in ("d", "x", "y", "transform"):
        value = _LONG_DECIMALS.sub(r"\1", value)
    return value.replace("url(#", f"url(#{key}-")


def elide(text: str, length: int = 28) -> str:
    """Text for a figure: one line, cut with an ellipsis when it is long."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"


def log_axis(axis: Any, base: float = 10.0) -> None:
    """Logarithmic scale for an axis, with ticks that a person reads at a glance."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis._set_axes_scale("log", base=base)
    axis.set_major_locator(LogLocator(base=base, subs=(1.0, 2.0, 5.0) if base == 10.0 else (1.0,)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))


def spread(positions: Sequence[float], gap: float) -> list[float]:
    """Move label positions apart to at least `gap`, in order, as little as a sweep can do."""
    order = sorted(range(len(positions)), key=lambda index: positions[index])
    placed = [positions[index] for index in order]
    for index in range(1, len(placed)):
        placed[index] = max(placed[index], placed[index - 1] + gap)
    if placed:
        shift = sum(placed) / len(placed) - sum(positions) / len(positions)
        placed = [place - shift for place in placed]
    moved = [0.0] * len(positions)
    for index, place in zip(order, placed, strict=True):
        moved[index] = place
    return moved


def axis_label(info: MetricInfo) -> str:
    """A metric's unit as it stands at an axis."""
    return {"share": "%"}.get(info.unit, info.unit)


def scale_of(info: MetricInfo) -> float:
    """Shares are drawn in percent."""
    return 100.0 if info.unit == "share" else 1.0


def axis_title(info: MetricInfo) -> str:
    """A metric's label and unit as they stand along an axis."""
    return ", ".join(filter(None, (info.label, axis_label(info))))


def capital(text: str) -> str:
    """A title's text, its first letter a capital."""
    return text[:1].upper() + text[1:]


def or_value(bound: float, value: float) -> float:
    """An interval's bound, or the value itself where there is no interval."""
    return bound if math.isfinite(bound) else value


def ends(measurement: Measurement) -> tuple[float, float]:
    """An interval's bounds, each the value itself where there is none."""
    value = measurement.value
    return or_value(measurement.low, value), or_value(measurement.high, value)


def with_errors(measurement: Measurement, scale: float) -> tuple[float, list[list[float]]]:
    """A scaled value and how far its interval reaches below and above."""
    low, high = ends(measurement)
    below, above = max(0.0, measurement.value - low), max(0.0, high - measurement.value)
    return scale * measurement.value, [[scale * below], [scale * above]]


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
    covered = [(x - 4, y - 4, x + 4, y + 4) for x, y in points]
    unit = figure.dpi / 72
    offsets = [(side * reach, up) for reach, up, side in product((8, 18), _UPS, (1, -1))]
    for label, (x, y) in zip(labels, points, strict=True):
        boxes = {offset: _box(x, y, offset, label.text, unit) for offset in offsets}
        best = min(boxes, key=lambda one: sum(_overlap(boxes[one], other) for other in covered))
        covered.append(boxes[best])
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
