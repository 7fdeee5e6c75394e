"""What a config field holds, read off its annotation: for resolving, merging and describing."""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from colaflex.interfaces.component import (
    AbsentMeans,
    ComponentConfig,
    FormerDefault,
    FormerOptions,
    Slot,
)

__all__ = ["Bounds", "Shape", "shape_of", "shapes_of"]

NoneType = type(None)
NAMES: dict[Any, str] = {
    int: "an integer",
    float: "a number",
    bool: "true or false",
    str: "text",
    Path: "a path",
    NoneType: "null",
}
BETWEEN = {
    (False, False): " from {} to {}",
    (False, True): " from {} to below {}",
    (True, False): " above {}, at most {}",
    (True, True): " above {} and below {}",
}


@dataclass(frozen=True, slots=True)
class Bounds:
    """The numbers that a field takes.

    Attributes:
        low: the least; None where there is none.
        high: the greatest; None where there is none.
        above: whether `low` itself is out.
        below: whether `high` itself is out.
    """

    low: float | None = None
    high: float | None = None
    above: bool = False
    below: bool = False

    @classmethod
    def of(cls, metadata: Iterable[Any]) -> Bounds:
        """The bounds among what annotates a field."""
        bounds = cls()
        for marker in metadata:
            match marker:
                case annotated_types.Ge(least) | annotated_types.Gt(least):
                    above = isinstance(marker, annotated_types.Gt)
                    bounds = replace(bounds, low=least, above=above)  # type: ignore[arg-type]
                case annotated_types.Le(most) | annotated_types.Lt(most):
                    below = isinstance(marker, annotated_types.Lt)
                    bounds = replace(bounds, high=most, below=below)  # type: ignore[arg-type]
        return bounds

    def __str__(self) -> str:
        if self.low is not None and self.high is not None:
            return BETWEEN[self.above, self.below].format(self.low, self.high)
        if self.low is not None:
            return f" > {self.low}" if self.above else f" >= {self.low}"
        if self.high is not None:
            return f" < {self.high}" if self.below else f" <= {self.high}"
        return ""


@dataclass(frozen=True, slots=True)
class Shape:
    """The part of a field's type that decides how its value is read.

    Attributes:
        slot: kind of the component that the field names, if it names one.
        model: the nested model, if the field holds one.
        item: what the items of a list or map are.
        is_map: whether `item` is of a map with free keys.
        scalars: scalar types that are taken; None where nothing is known.
        bounds: of the numbers that are taken.
        words: literal values that are taken.
        expected: what a value should be, in words.
        default: the field's default; of a component, its name.
        unset: of a component, what the field holds by default, with options.
        before: of a component, how the field was filled before it named one.
        former: what the default was before; digests leave it out as well.
        absent: [the value that a run is read by which lacks the field]; digests leave out this
            one, in place of the default.
    """

    slot: str | None = None
    model: type[BaseModel] | None = None
    item: Shape | None = None
    is_map: bool = False
    scalars: frozenset[type] | None = frozenset()
    bounds: Bounds = Bounds()
    words: tuple[Any, ...] = ()
    expected: str = ""
    default: Any = None
    unset: Any = None
    before: FormerOptions | None = None
    former: tuple[Any, ...] = ()
    absent: tuple[Any, ...] = ()

    @property
    def is_path(self) -> bool:
        """Whether a string given here is a path."""
        return self.scalars is not None and Path in self.scalars

    def accepts(self, value: object) -> bool:
        """False for a scalar that would only fit after a conversion that hides a mistake."""
        if self.scalars is None or isinstance(value, dict | list):
            return True
        if any(type(word) is type(value) and word == value for word in self.words):
            return True
        if isinstance(value, bool):
            return bool in self.scalars
        if isinstance(value, int | float):
            return bool(self.scalars & {int, float})
        if isinstance(value, str):
            return bool(self.scalars & {str, Path}) or bool(self.words) or self.slot is not None
        return True


@cache
def shapes_of(model: type[BaseModel]) -> Mapping[str, Shape]:
    """The shape of every field of a model, by the key that a spec uses."""
    return {field.alias or name: shape_of(field) for name, field in model.model_fields.items()}


def shape_of(field: FieldInfo) -> Shape:
    """The shape of one field."""
    shape = _shape(field.annotation, tuple(field.metadata))
    default = None if field.is_required() else _default(field)
    unset = default
    if isinstance(default, ComponentConfig):
        default = default.type or None
    elif shape.slot is not None and isinstance(default, Mapping):
        default = default["type"]
    former = tuple(mark.value for mark in field.metadata if isinstance(mark, FormerDefault))
    absent = tuple(mark.value for mark in field.metadata if isinstance(mark, AbsentMeans))
    return replace(shape, default=default, unset=unset, former=former, absent=absent)


def _default(field: FieldInfo) -> Any:
    if field.default_factory_takes_validated_data:
        return None
    return field.get_default(call_default_factory=True)


def _shape(annotation: Any, metadata: tuple[Any, ...]) -> Shape:
    metadata = tuple(
        inner
        for marker in metadata
        for inner in (marker.metadata if isinstance(marker, FieldInfo) else [marker])
    )
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        return _shape(inner, (*more, *metadata))
    for marker in metadata:
        if isinstance(marker, Slot):
            text = f"the name of a {marker.kind}, or a map with its `type` and options"
            return Shape(slot=marker.kind, before=marker.former, expected=text)
    if get_origin(annotation) in (Union, types.UnionType):
        return _union([_shape(part, metadata) for part in get_args(annotation)])
    if get_origin(annotation) is Literal:
        words = get_args(annotation)
        listed = ", ".join(f"`{word}`" for word in words)
        return Shape(words=words, expected=listed if len(words) == 1 else f"one of {listed}")
    return _plain(annotation, metadata)


def _plain(annotation: Any, metadata: tuple[Any, ...]) -> Shape:
    container = get_origin(annotation)
    arguments = get_args(annotation)
    if isinstance(container, type) and issubclass(container, Mapping):
        item = _shape(arguments[1], ())
        return Shape(item=item, is_map=True, expected=f"a map with {item.expected} at each key")
    if isinstance(container, type) and issubclass(container, Iterable):
        item = _shape(arguments[0], ())
        fixed = container is tuple and Ellipsis not in arguments
        count = f" of {len(arguments)}" if fixed else ""
        lengths = _lengths(metadata)
        return Shape(item=item, expected=f"a list{count}{lengths}, each {item.expected}")
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return Shape(model=annotation, expected=f"a map with {', '.join(annotation.model_fields)}")
    if annotation in NAMES:
        bounds = Bounds.of(metadata) if annotation in (int, float) else Bounds()
        expected = f"{NAMES[annotation]}{bounds}"
        return Shape(scalars=frozenset({annotation}), bounds=bounds, expected=expected)
    return Shape(scalars=None, expected=getattr(annotation, "__name__", str(annotation)))


def _union(parts: list[Shape]) -> Shape:
    def first(name: str) -> Any:
        return next((getattr(part, name) for part in parts if getattr(part, name)), None)

    scalars: frozenset[type] | None = frozenset()
    for part in parts:
        scalars = None if scalars is None or part.scalars is None else scalars | part.scalars
    return Shape(
        slot=first("slot"),
        before=first("before"),
        model=first("model"),
        item=first("item"),
        is_map=bool(first("is_map")),
        scalars=scalars,
        bounds=next((part.bounds for part in parts if part.bounds != Bounds()), Bounds()),
        words=tuple(word for part in parts for word in part.words),
        expected=" or ".join(dict.fromkeys(part.expected for part in parts)),
    )


def _lengths(metadata: tuple[Any, ...]) -> str:
    parts = []
    for marker in metadata:
        match marker:
            case annotated_types.MinLen(least):
                parts.append(f"at least {least}")
            case annotated_types.MaxLen(most):
                parts.append(f"at most {most}")
    return f" of {' and '.join(sorted(parts))}" if parts else ""
