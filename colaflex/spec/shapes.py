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

from colaflex.interfaces.component import AbsentMeans, ComponentConfig, FormerDefault, Slot

__all__ = ["Shape", "shape_of", "shapes_of"]

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
    ("from", "to"): " from {} to {}",
    ("from", "below"): " from {} to below {}",
    ("above", "to"): " above {}, at most {}",
    ("above", "below"): " above {} and below {}",
}


@dataclass(frozen=True, slots=True)
class Shape:
    """The part of a field's type that decides how its value is read.

    Attributes:
        slot: kind of the component that the field names, if it names one.
        model: the nested model, if the field holds one.
        item: what the items of a list or map are.
        is_map: whether `item` is of a map with free keys.
        scalars: scalar types that are taken; None where nothing is known.
        words: literal values that are taken.
        expected: what a value should be, in words.
        default: the field's default; of a component, its name.
        former: what the default was before; digests leave it out as well.
        absent: [the value that a run is read by which lacks the field]; digests leave out this
            one, in place of the default.
    """

    slot: str | None = None
    model: type[BaseModel] | None = None
    item: Shape | None = None
    is_map: bool = False
    scalars: frozenset[type] | None = frozenset()
    words: tuple[Any, ...] = ()
    expected: str = ""
    default: Any = None
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
    if isinstance(default, ComponentConfig):
        default = default.type or None
    former = tuple(mark.value for mark in field.metadata if isinstance(mark, FormerDefault))
    absent = tuple(mark.value for mark in field.metadata if isinstance(mark, AbsentMeans))
    return replace(shape, default=default, former=former, absent=absent)


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
            return Shape(slot=marker.kind, expected=text)
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
        lengths = _bounds(metadata, length=True)
        return Shape(item=item, expected=f"a list{count}{lengths}, each {item.expected}")
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return Shape(model=annotation, expected=f"a map with {', '.join(annotation.model_fields)}")
    if annotation in NAMES:
        bounds = _bounds(metadata) if annotation in (int, float) else ""
        return Shape(scalars=frozenset({annotation}), expected=NAMES[annotation] + bounds)
    return Shape(scalars=None, expected=getattr(annotation, "__name__", str(annotation)))


def _union(parts: list[Shape]) -> Shape:
    def first(name: str) -> Any:
        return next((getattr(part, name) for part in parts if getattr(part, name)), None)

    scalars: frozenset[type] | None = frozenset()
    for part in parts:
        scalars = None if scalars is None or part.scalars is None else scalars | part.scalars
    return Shape(
        slot=first("slot"),
        model=first("model"),
        item=first("item"),
        is_map=bool(first("is_map")),
        scalars=scalars,
        words=tuple(word for part in parts for word in part.words),
        expected=" or ".join(dict.fromkeys(part.expected for part in parts)),
    )


def _bounds(metadata: tuple[Any, ...], *, length: bool = False) -> str:
    low: tuple[str, Any] | None = None
    high: tuple[str, Any] | None = None
    for marker in metadata:
        match marker:
            case annotated_types.MinLen(least) if length:
                low = ("at least", least)
            case annotated_types.MaxLen(most) if length:
                high = ("at most", most)
            case annotated_types.Ge(least) if not length:
                low = ("from", least)
            case annotated_types.Gt(least) if not length:
                low = ("above", least)
            case annotated_types.Le(most) if not length:
                high = ("to", most)
            case annotated_types.Lt(most) if not length:
                high = ("below", most)
    if length:
        parts = [f"{word} {number}" for word, number in filter(None, (low, high))]
        return f" of {' and '.join(parts)}" if parts else ""
    if low and high:
        return BETWEEN[low[0], high[0]].format(low[1], high[1])
    if low:
        return f" >= {low[1]}" if low[0] == "from" else f" > {low[1]}"
    if high:
        return f" <= {high[1]}" if high[0] == "to" else f" < {high[1]}"
    return ""
