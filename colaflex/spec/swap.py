"""The swap rule: what stays when a section names another component."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic.fields import FieldInfo

from colaflex.files.problems import KeyPath, dotted
from colaflex.files.yaml import Node
from colaflex.interfaces.component import ComponentConfig
from colaflex.spec.shapes import Shape, shapes_of

__all__ = ["Swap", "carry_over"]

SHARED = {"prior": ("network", "schedule")}


@dataclass(frozen=True)
class Swap:
    """What became of a section whose component was changed.

    Attributes:
        path: the section, e.g. ("prior",).
        old: component before.
        new: component after.
        kept: keys that were set and still are.
        dropped: keys that were set and mean nothing to the new component.
        defaulted: keys of the new component that nobody set.

    Example:
        >>> swap = Swap(("prior",), old="flow_matching", new="gaussian", kept={"block_size": 4})
        >>> print(swap)
        prior: flow_matching -> gaussian
          kept      block_size=4
    """

    path: KeyPath
    old: str
    new: str
    kept: Mapping[str, Any] = field(default_factory=dict)
    dropped: Mapping[str, Any] = field(default_factory=dict)
    defaulted: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{dotted(self.path)}: {self.old} -> {self.new}"]
        for word, values in (("kept", self.kept), ("dropped", self.dropped)):
            if values:
                listed = ", ".join(f"{key}={_short(value)}" for key, value in values.items())
                lines.append(f"  {word:<9} {listed}")
        if self.defaulted:
            lines.append(f"  defaulted {', '.join(self.defaulted)}")
        return "\n".join(lines)


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_short(item)}" for key, item in value.items()) + "}"
    return "null" if value is None else str(value)


def carry_over(
    kind: str, entries: Mapping[str, Node], old: type[ComponentConfig], new: type[ComponentConfig]
) -> dict[str, Node]:
    """The keys set for one component that the next one keeps.

    Kept are keys of the kind's shared base, and keys that both components declare with the same
    annotation and description; of a kept map, the keys that the new component knows.
    """
    shapes = shapes_of(new)
    return {
        key: _prune(node, shapes[key])
        for key, node in entries.items()
        if key in shapes and _same(kind, key, old, new)
    }


def _same(kind: str, key: str, old: type[ComponentConfig], new: type[ComponentConfig]) -> bool:
    before, after = _fields(old).get(key), _fields(new).get(key)
    if before is None or after is None:
        return False
    base = _shared_base(old)
    if key in SHARED.get(kind, ()) or (base is _shared_base(new) and key in _fields(base)):
        return True
    return before.annotation == after.annotation and before.description == after.description


def _fields(cls: type[ComponentConfig]) -> dict[str, FieldInfo]:
    return {info.alias or name: info for name, info in cls.model_fields.items()}


def _shared_base(cls: type[ComponentConfig]) -> type[ComponentConfig]:
    return next(c for c in cls.__mro__ if ComponentConfig in c.__bases__)


def _prune(node: Node, shape: Shape) -> Node:
    if shape.model is None or not isinstance(node.value, dict):
        return node
    known = shapes_of(shape.model)
    entries = {key: _prune(item, known[key]) for key, item in node.value.items() if key in known}
    return replace(node, value=entries)
