"""The field of a spec that a key path leads to: what it takes, and what is searched of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from colaflex import hints
from colaflex.errors import UserError
from colaflex.files.problems import nearest
from colaflex.interfaces.component import ComponentConfig
from colaflex.interfaces.search import SearchRange
from colaflex.spec import Spec
from colaflex.spec.shapes import Shape, shapes_of

__all__ = ["SpecField", "UnknownKey", "declared_range", "field_at", "own_range"]

DECADES = 100.0
"""Bounds that are further apart than this ratio are searched by ratios."""
HOW = "give choices, [1, 2, 4], or a range, {low: 1, high: 4}"


class UnknownKey(UserError):
    """There is no such key in the spec; `hint` names the nearest one."""

    def __init__(self, path: str, hint: str) -> None:
        super().__init__(f"a spec has no {path} here")
        self.hint = hint


@dataclass(frozen=True, slots=True)
class SpecField:
    """A field of a spec.

    Attributes:
        shape: what it takes.
        value: what the spec has there.
        owner: the model that declares it; None for items of lists and maps.
        name: what that model calls it.
    """

    shape: Shape
    value: Any
    owner: type[BaseModel] | None = None
    name: str = ""

    @property
    def is_number(self) -> bool:
        """Whether it takes numbers."""
        return self.shape.scalars is not None and bool(self.shape.scalars & {int, float})

    @property
    def is_integer(self) -> bool:
        """Whether its numbers are integers."""
        return self.is_number and float not in (self.shape.scalars or ())


def field_at(spec: Spec, path: str) -> SpecField:
    """The field at a key path of a spec with these components.

    Raises:
        UnknownKey: there is none; names the nearest.
    """
    keys = path.split(".")
    spec_field = SpecField(Shape(model=Spec), spec)
    for index, key in enumerate(keys):
        inner = _inner(spec_field, key)
        if inner is None:
            raise UnknownKey(path, _near(spec, spec_field, keys, index))
        spec_field = inner
    return spec_field


def _inner(spec_field: SpecField, key: str) -> SpecField | None:
    """The field of a field."""
    value, shape = spec_field.value, spec_field.shape
    model = type(value) if isinstance(value, BaseModel) else shape.model
    if model is not None:
        name = _names(model).get(key)
        if name is None:
            return None
        inner_value = getattr(value, name) if isinstance(value, BaseModel) else None
        return SpecField(shapes_of(model)[key], inner_value, model, name)
    if shape.item is None:
        return None
    if shape.is_map:
        return SpecField(shape.item, value.get(key) if isinstance(value, Mapping) else None)
    if key.isdigit() and isinstance(value, tuple | list) and int(key) < len(value):
        return SpecField(shape.item, value[int(key)])
    return None


def _names(model: type[BaseModel]) -> dict[str, str]:
    """Names of a model's fields by their keys, a component's type left out."""
    fields = {field.alias or name: name for name, field in model.model_fields.items()}
    if issubclass(model, ComponentConfig):
        fields.pop("type", None)
    return fields


def _near(spec: Spec, spec_field: SpecField, keys: list[str], index: int) -> str:
    """The nearest key: beside the one that failed, or anywhere of the last one's name."""
    model = (
        type(spec_field.value)
        if isinstance(spec_field.value, BaseModel)
        else spec_field.shape.model
    )
    beside = list(_names(model)) if model is not None else []
    close = hints.nearest(keys[index], beside)
    if close:
        return f"did you mean `{'.'.join([*keys[:index], close, *keys[index + 1 :]])}`?"
    paths = {path.rpartition(".")[2]: path for path, _, _ in spec.values()}
    close = hints.nearest(keys[-1], paths)
    if close:
        return f"did you mean `{paths[close]}`?"
    return nearest(keys[index], beside)


def own_range(spec_field: SpecField) -> SearchRange:
    """What `default` means: what the field's author gave, else its literals or its bounds.

    Raises:
        UserError: there is nothing to go by; tells how to give a range.
    """
    search_range = (
        None if spec_field.owner is None else declared_range(spec_field.owner, spec_field.name)
    )
    if search_range is not None:
        return search_range
    shape = spec_field.shape
    if shape.slot is not None:
        raise UserError(f"`default` is no {shape.slot}; name those to choose from, [a, b]")
    if not spec_field.is_number:
        words = [word for word in shape.words if isinstance(word, bool | int | float | str)]
        if shape.scalars and bool in shape.scalars:
            words += [False, True]
        if words:
            return SearchRange(choices=words)
        raise UserError(f"the field has no range of its own; {HOW}")
    low, high = _closed_ends(spec_field)
    if low is None or high is None or shape.words or not low < high:
        raise UserError(f"the field has no range of its own, it takes {shape.expected}; {HOW}")
    return SearchRange(low=low, high=high, log=low > 0 and high / low > DECADES)


def declared_range(owner: type[BaseModel], name: str) -> SearchRange | None:
    """The mark of a field, or of the one that it stands for in a base of its class."""
    for cls in owner.__mro__:
        if not (issubclass(cls, BaseModel) and name in cls.model_fields):
            continue
        for marker in cls.model_fields[name].metadata:
            if isinstance(marker, SearchRange):
                return marker
    return None


def _closed_ends(spec_field: SpecField) -> tuple[float | None, float | None]:
    """Least and largest value; None where there is none, as at the open end of numbers."""
    if spec_field.owner is None:
        return None, None
    bounds, step = spec_field.shape.bounds, 1 if spec_field.is_integer else None
    low, high = bounds.low, bounds.high
    if bounds.above and low is not None:
        low = None if step is None else low + step
    if bounds.below and high is not None:
        high = None if step is None else high - step
    return low, high
