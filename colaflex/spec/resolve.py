"""From nodes to validated sections: every component through the registry, every problem at once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from colaflex.errors import UserError
from colaflex.files.problems import KeyPath, Origin, Problem, nearest
from colaflex.files.reading import user_path
from colaflex.files.yaml import Node
from colaflex.host.registry import Registry
from colaflex.interfaces.component import ComponentConfig
from colaflex.spec.shapes import Shape, shapes_of

__all__ = ["Resolver", "SavedResolver", "read_former", "type_of"]

RUN_SETTINGS = ("device", "precision")
OWN_MESSAGE = ("value_error", "assertion_error")


def type_of(node: Node | None) -> str | None:
    """The component that a section's node names, or None."""
    if node is None:
        return None
    named = node.value if isinstance(node.value, str) else node.entries.get("type")
    value = named.value if isinstance(named, Node) else named
    return value if isinstance(value, str) else None


def read_former(node: Node, shape: Shape, whole: bool = True) -> Node:
    """A slot's node, however it was said before the slot named a component.

    Args:
        node: what a layer says, or all of them.
        shape: of the slot.
        whole: whether nothing stands below it, so that what it leaves out is the default.
    """
    if shape.before is None or not isinstance(node.value, dict):
        return node
    former, entries = shape.before, node.entries
    options = former.renamed(entries, lambda each: str(each.value))
    if whole:
        options = former.read(options, str, lambda name: Node(name, node.origin, node.key))
    return node if options == entries else node.with_entries(options)


class Omitted:
    """Stands for a value that was reported already, so that its key is left out."""


OMITTED = Omitted()


class Resolver:
    """Turns a tree into models; what is wrong is collected in `problems`.

    Attributes:
        problems: what is wrong.
        added: what was read into the tree that it does not say, by key path.
    """

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.problems: list[Problem] = []
        self.added: dict[KeyPath, Any] = {}

    def report(self, origin: Origin, path: KeyPath, message: str, hint: str = "") -> None:
        """Note a problem."""
        self.problems.append(Problem(origin, path, message, hint))

    def model(self, cls: type[BaseModel], node: Node, path: KeyPath = ()) -> BaseModel | None:
        """The validated model, or None where something is wrong."""
        return self._validate(cls, node, path, {}, node.key)

    def component(self, node: Node, shape: Shape, path: KeyPath) -> ComponentConfig | None:
        """The config of the component that a node names, or None where something is wrong."""
        kind, node = str(shape.slot), read_former(node, shape)
        name = type_of(node) or shape.default
        named = node.entries.get("type", node)
        if name is None or not isinstance(node.value, str | dict):
            choices = f"choose from {', '.join(self.registry.names(kind))}"
            self.report(node.origin, path, f"expected {shape.expected}", choices)
            return None
        if isinstance(node.value, dict) and type_of(node) is None and "type" in node.value:
            self.report(named.origin, (*path, "type"), f"expected the name of a {kind}")
            return None
        try:
            entry = self.registry.find(kind, name)
            cls = self.registry.config_class(kind, name)
        except UserError as error:
            where = path if named.origin == node.origin else (*path, "type")
            self.report(named.origin, where, str(error))
            return None
        options = {key: item for key, item in node.entries.items() if key != "type"}
        spelling = {"type": self.registry.spelling(entry)}
        config = self._validate(cls, node.with_entries(options), path, spelling, named.origin)
        return config if isinstance(config, ComponentConfig) else None

    def _validate(
        self,
        cls: type[BaseModel],
        node: Node,
        path: KeyPath,
        extra: Mapping[str, Any],
        place: Origin,
    ) -> BaseModel | None:
        before = len(self.problems)
        values = self._fields(cls, node, path, extra.get("type"))
        clean = len(self.problems) == before
        try:
            model = cls.model_validate({**values, **extra})
        except ValidationError as error:
            for item in error.errors(include_url=False):
                self._explain(cls, node, path, item, clean)
        except UserError as error:
            self.report(place, path, str(error))
        return model if len(self.problems) == before else None

    def _fields(
        self, cls: type[BaseModel], node: Node, path: KeyPath, component: str | None
    ) -> dict[str, Any]:
        shapes = shapes_of(cls)
        values: dict[str, Any] = {}
        for key, child in node.entries.items():
            where = (*path, key)
            if key not in shapes or (component is not None and key == "type"):
                self._unknown(cls, child, where, component)
                continue
            value = self._value(child, shapes[key], where)
            if value is not OMITTED:
                values[key] = value
        return values

    def _value(self, node: Node, shape: Shape, path: KeyPath) -> Any:
        if shape.slot is not None and node.value is not None:
            config = self.component(node, shape, path)
            return OMITTED if config is None else config
        if shape.model is not None and isinstance(node.value, dict):
            return self._fields(shape.model, node, path, None)
        if shape.item is not None and isinstance(node.value, dict if shape.is_map else list):
            items = self._items(node, shape.item, path)
            if shape.is_map:
                return dict(items)
            return [value for _, value in items]
        if not shape.accepts(node.value):
            self._expected(node, shape, path)
            return OMITTED
        if shape.is_path and isinstance(node.value, str) and node.value not in shape.words:
            return self._path(node, path)
        return node.plain

    def _path(self, node: Node, path: KeyPath) -> Any:
        """An absolute path; a relative one is one of the folder of its file."""
        try:
            given = user_path(str(node.value))
        except UserError as error:
            self.report(node.origin, path, str(error))
            return OMITTED
        return str(given if given.is_absolute() else (node.origin.directory or Path.cwd()) / given)

    def _items(self, node: Node, shape: Shape, path: KeyPath) -> list[tuple[Any, Any]]:
        pairs: Iterable[tuple[Any, Node]] = (
            node.value.items() if isinstance(node.value, dict) else enumerate(node.value or ())  # type: ignore[arg-type]
        )
        items = [(key, self._value(child, shape, (*path, key))) for key, child in pairs]
        return [(key, value) for key, value in items if value is not OMITTED]

    def _expected(self, node: Node, shape: Shape, path: KeyPath) -> None:
        words = [str(word) for word in shape.words]
        hint = nearest(node.value, words) if words and isinstance(node.value, str) else ""
        hint = hint if hint.startswith("did") else ""
        self.report(node.origin, path, f"expected {shape.expected}, got {_shown(node)}", hint)

    def _unknown(
        self, cls: type[BaseModel], node: Node, path: KeyPath, component: str | None
    ) -> None:
        key = str(path[-1])
        if key in RUN_SETTINGS:
            hint = f"it is a setting of a run, not of the experiment: pass --{key} to the command"
            self.report(node.key, path, "no key of a spec", hint)
            return
        hint = nearest(key, [name for name in shapes_of(cls) if name != "type"])
        of = "" if component is None else f" of {component}"
        if component is not None and issubclass(cls, ComponentConfig):
            others = [n for n in self._types_with(cls.kind, key) if n != component]
            if others and not hint.startswith("did"):
                hint = f"{', '.join(others)} {'has' if len(others) == 1 else 'have'} it; {hint}"
            elif others:
                hint = f"{hint} ({', '.join(others)} {'has' if len(others) == 1 else 'have'} it)"
        self.report(node.key, path, f"unknown key{of}", hint)

    def _types_with(self, kind: str, key: str) -> list[str]:
        types = []
        for name in self.registry.names(kind):
            try:
                cls = self.registry.config_class(kind, name)
            except UserError:
                continue  # a broken plugin is no help to whoever mistyped a key
            if key in shapes_of(cls):
                types.append(name)
        return types

    def _explain(
        self, cls: type[BaseModel], node: Node, path: KeyPath, item: Any, clean: bool
    ) -> None:
        """Report one of pydantic's errors at the place that it is about."""
        shape, rest = Shape(model=cls), list(item["loc"])
        while rest:
            child = node.child(rest[0])
            inner = shape.item if shape.model is None else shapes_of(shape.model).get(str(rest[0]))
            if child is None or inner is None:
                break
            node, shape, path = child, inner, (*path, rest.pop(0))
        if item["type"] == "missing" and rest and shape.model is not None:
            if node.child(rest[0]) is None:
                field = shapes_of(shape.model)[str(rest[0])]
                message = f"required: {field.expected}"
                self.report(node.origin, (*path, rest[0]), message, self._choices(field))
        elif item["type"] in OWN_MESSAGE:
            if clean or shape.model is None:
                self.report(node.origin, (*path, *rest), str(item["ctx"]["error"]))
        elif shape.expected and not any(p.path[: len(path)] == path for p in self.problems):
            self._expected(node, shape, path)
        elif not shape.expected:
            self.report(node.origin, (*path, *rest), str(item["msg"]))

    def _choices(self, shape: Shape) -> str:
        names = self.registry.names(shape.slot) if shape.slot else []
        return f"choose from {', '.join(names)}" if names else ""


def _shown(node: Node) -> str:
    value = node.value
    if isinstance(value, dict | list):
        kind = "map" if isinstance(value, dict) else "list"
        shown = json.dumps(node.plain, ensure_ascii=False)
        return f"the {kind} {shown}" if len(shown) <= 40 else f"a {kind}"
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    return json.dumps(value)[:40]


class SavedResolver(Resolver):
    """Reads what a run went by, which says everything: fields that it lacks are younger than it."""

    def _fields(
        self, cls: type[BaseModel], node: Node, path: KeyPath, component: str | None
    ) -> dict[str, Any]:
        values = super()._fields(cls, node, path, component)
        for key, shape in shapes_of(cls).items():
            if shape.absent and key not in node.entries:
                values[key] = self.added[(*path, key)] = shape.absent[0]
        return values
