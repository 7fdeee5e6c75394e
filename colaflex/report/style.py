"""How figures look: one style, colours that follow the page, SVG that can stand inside HTML.

Matplotlib paints with stand-in colours, which become the page's CSS variables, so that one figure
serves light and dark. Text stays text and takes the page's font.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast
from xml.etree import ElementTree  # reads only what matplotlib has just written

from colaflex.metrics.numbers import tick

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["COLOURS", "SERIES", "draw", "elide", "log_axis", "plots_available", "spread"]

COLOURS: dict[str, str] = {
    "ink": "#0a0b01",
    "muted": "#0a0b02",
    "rule": "#0a0b03",
    "panel": "#0a0b04",
    "series-1": "#0a0b11",
    "series-2": "#0a0b12",
    "series-3": "#0a0b13",
    "series-4": "#0a0b14",
    "series-5": "#0a0b15",
    "series-6": "#0a0b16",
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
