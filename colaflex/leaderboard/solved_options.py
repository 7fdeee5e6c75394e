"""Options that are solved for: where they stand, what they may be, and how fine they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from colaflex.errors import UserError
from colaflex.files.problems import nearest
from colaflex.spec import Spec
from colaflex.spec.shapes import shapes_of

__all__ = ["Knob", "finer_option", "knob", "usual_width"]

WIDTHS = ("width", "network.width", "transformer.width")
FINE = ("feed_forward_ratio", "ratio")
LARGEST = 1e9
FINEST = 64
"""A number that is no integer is solved in parts of 1 / 64."""


@dataclass(frozen=True, slots=True)
class Knob:
    """An option that is solved for, as `count · unit`.

    Attributes:
        path: its key path.
        unit: the smallest step.
        least: the smallest count.
        most: the largest count.
        now: the count nearest to the option's present value.
        whole: whether its values are integers.
    """

    path: str
    unit: float
    least: int
    most: int
    now: int
    whole: bool

    def value(self, count: int) -> float | int:
        """The option's value at a count."""
        return count * int(self.unit) if self.whole else count * self.unit


def knob(spec: Spec, path: str) -> Knob:
    """The option at a key path as something to solve for.

    A width moves in steps in which its heads, beside it, stay of even width.

    Raises:
        UserError: there is no number at that path; names the nearest one.
    """
    holder, key = _holder(spec, path)
    value = getattr(holder, key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"{path} is no number that can be solved for")
    whole = isinstance(value, int)
    heads = getattr(holder, "heads", None) if key == "width" else None
    unit = (2 * heads if isinstance(heads, int) else 1) if whole else 1 / FINEST
    bounds = shapes_of(type(holder))[key].bounds
    least = max(1, -int(-(bounds.low or 0.0) // unit))
    most = int((LARGEST if bounds.high is None else bounds.high) // unit)
    return Knob(path, unit, least, most, max(least, round(value / unit)), whole)


def _holder(spec: Spec, path: str) -> tuple[BaseModel, str]:
    """The model that holds the option at a key path, and the option's name."""
    holder: BaseModel = spec
    keys = path.split(".")
    for index, key in enumerate(keys):
        known = type(holder).model_fields
        if key not in known or (getattr(holder, key) is None and index < len(keys) - 1):
            names = [name for name in known if name != "type" and getattr(holder, name) is not None]
            where = ".".join(keys[: index + 1])
            raise UserError(f"the row has no {where}; {nearest(key, names)}")
        value = getattr(holder, key)
        if index == len(keys) - 1:
            return holder, key
        if not isinstance(value, BaseModel):
            raise UserError(f"{'.'.join(keys[: index + 1])} holds nothing more")
        holder = value
    raise UserError(f"{path!r} is no key path")


def usual_width(spec: Spec) -> str | None:
    """Where a model's width is usually found, or None."""
    section = "prior" if spec.baseline is None else "baseline"
    return next((f"{section}.{w}" for w in WIDTHS if _has(spec, f"{section}.{w}")), None)


def finer_option(spec: Spec, width: str) -> str | None:
    """The option beside a width that is finer than it, or None."""
    parent = width.rpartition(".")[0]
    beside = (f"{parent}.{name}" for name in FINE)
    return next((path for path in beside if _has(spec, path)), None)


def _has(spec: Spec, path: str) -> bool:
    try:
        holder: Any
        holder, key = _holder(spec, path)
        return isinstance(getattr(holder, key), int | float)
    except UserError:
        return False
