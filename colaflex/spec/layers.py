"""Layers over layers: `extends`, `--set` and overrides, merged under one rule."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from colaflex.errors import UserError
from colaflex.files.problems import KeyPath, Origin, Problem, SpecError
from colaflex.files.reading import resolved, user_path
from colaflex.files.yaml import Node, node_of, read_map, read_text
from colaflex.host.registry import Registry
from colaflex.interfaces.component import ComponentConfig
from colaflex.spec.resolve import read_former, type_of
from colaflex.spec.sections import Document
from colaflex.spec.shapes import Shape, shapes_of
from colaflex.spec.swap import Swap, carry_over

__all__ = ["LATENT_SECTIONS", "ROOT", "Layers", "read_set"]

ROOT = Shape(model=Document)
LATENT_SECTIONS = ("segmenter", "representation", "prior")


def read_set(argument: str) -> tuple[KeyPath, Node]:
    """A `--set a.b.c=VALUE` as key path and value; raises SpecError where it is neither."""
    origin = Origin("--set")
    name, equals, text = argument.partition("=")
    keys = tuple(key.strip() for key in name.split("."))
    if not equals or not all(keys):
        hint = "write --set KEY.KEY=VALUE, e.g. --set prior.block_size=8"
        raise SpecError([Problem(origin, (), f"{argument!r} is no setting", hint)])
    return keys, read_text(text, origin, keys)


class Layers:
    """Merges trees; every change of a component is noted in `swaps`."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.swaps: list[Swap] = []
        self._loaded: dict[Path, Node] = {}

    def load(self, path: Path, above: tuple[Path, ...] = ()) -> Node:
        """A file with everything that it extends, first to last, below it."""
        place = resolved(path)
        if place in self._loaded:
            return self._loaded[place]
        node = read_map(path, "a map of sections (corpus, prior, ...)")
        self._loaded[place] = self.extended(node, (*above, place))
        return self._loaded[place]

    def extended(self, node: Node, above: tuple[Path, ...] = ()) -> Node:
        """A tree over what its `extends` names."""
        entries = dict(node.entries)
        extends = entries.pop("extends", None)
        tree = node.with_entries(entries)
        if extends is None:
            return tree
        base: Node | None = None
        for index, name in enumerate(_names(extends)):
            where: KeyPath = ("extends", index) if isinstance(extends.value, list) else ("extends",)
            try:
                path = (name.origin.directory or Path.cwd()) / user_path(str(name.value))
                if (place := resolved(path)) in above:
                    chain = " -> ".join(p.name for p in (*above, place))
                    raise UserError(f"a spec can't extend itself: {chain}")
                loaded = self.load(path, above)
            except SpecError:
                raise
            except UserError as error:
                raise SpecError([Problem(name.origin, where, str(error))]) from None
            base = loaded if base is None else self.merge(base, loaded)
        return tree if base is None else self.merge(base, tree)

    def assign(self, tree: Node, path: KeyPath, value: Node) -> Node:
        """The tree with one value set; a list's item by its index."""
        return self.merge(tree, self._nested(tree, ROOT, path, value, path))

    def _nested(
        self, node: Node | None, shape: Shape, keys: KeyPath, value: Node, path: KeyPath
    ) -> Node:
        """`value` under `keys`, as a tree of its own to be merged."""
        if not keys:
            return value
        key, rest = str(keys[0]), keys[1:]
        items = self._list(node, shape, value.origin)
        if items is not None and key.lstrip("-").isdigit():
            if not 0 <= int(key) < len(items):
                message = f"no item {key}: the list has {len(items)}, counted from 0"
                raise SpecError([Problem(value.origin, path, message)])
            inner = shape.item or Shape()
            below = items[int(key)]
            nested = self._nested(below, inner, rest, value, path)
            # Lists are replaced whole, so what the item has besides is kept here.
            items[int(key)] = self.merge(below, nested, inner, path) if rest else nested
            return Node(items, value.origin, value.origin)
        child = None if node is None else node.child(key)
        inner = self._shapes(shape, type_of(node)).get(key, shape.item or Shape())
        nested = self._nested(child, inner, rest, value, path)
        return Node({key: nested}, value.origin, value.origin)

    def _list(self, node: Node | None, shape: Shape, origin: Origin) -> list[Node] | None:
        if node is not None:
            return list(node.value) if isinstance(node.value, list) else None
        if isinstance(shape.default, tuple | list):
            return [node_of(item, origin) for item in shape.default]
        return None

    def merge(self, base: Node, upper: Node, shape: Shape = ROOT, path: KeyPath = ()) -> Node:
        """`upper` over `base`: maps deeply, lists and scalars replaced, components swapped."""
        if shape.slot is not None:
            return self._merge_component(base, upper, shape, path)
        if not isinstance(base.value, dict) or not isinstance(upper.value, dict):
            return upper
        if not path:
            base = self._one_model(base, upper)
        shapes = self._shapes(shape, None)
        return base.with_entries(self._entries(base.entries, upper, shapes, path))

    def _entries(
        self, base: Mapping[str, Node], upper: Node, shapes: Mapping[str, Shape], path: KeyPath
    ) -> dict[str, Node]:
        entries = dict(base)
        for key, node in upper.entries.items():
            shape = shapes.get(key, Shape())
            below = entries.get(key)
            if below is None and not path and shape.slot is not None and shape.default:
                below = Node({}, node.origin, node.key)
            entries[key] = node if below is None else self.merge(below, node, shape, (*path, key))
        return entries

    def _merge_component(self, base: Node, upper: Node, shape: Shape, path: KeyPath) -> Node:
        if not isinstance(upper.value, str | dict) or not isinstance(base.value, str | dict):
            return upper
        kind = str(shape.slot)
        base, upper = read_former(base, shape), read_former(upper, shape, whole=False)
        old, new = type_of(base) or shape.default, type_of(upper)
        before, after = _long_form(base), _long_form(upper)
        if new is None or old is None or self._spelling(kind, old) == self._spelling(kind, new):
            shapes = self._shapes(shape, new or old)
            return after.with_entries(self._entries(before.entries, after, shapes, path))
        return self._swapped(kind, (old, new), before, after, path)

    def _swapped(
        self, kind: str, types: tuple[str, str], before: Node, after: Node, path: KeyPath
    ) -> Node:
        old_class, new_class = (self._config_class(kind, name) for name in types)
        if new_class is None:
            return after  # unknown: resolving says so, with place and hint
        set_before = {key: node for key, node in before.entries.items() if key != "type"}
        kept = {} if old_class is None else carry_over(kind, set_before, old_class, new_class)
        entries = self._entries(kept, after, shapes_of(new_class), path)
        swap = Swap(
            path,
            *types,
            kept={key: kept[key].plain for key in kept if key not in after.entries},
            dropped={key: node.plain for key, node in set_before.items() if key not in kept},
            defaulted=tuple(key for key in shapes_of(new_class) if key not in entries),
        )
        self.swaps.append(swap)
        return after.with_entries(entries)

    def _one_model(self, base: Node, upper: Node) -> Node:
        """A baseline takes the place of the latent sections, a prior that of a baseline."""
        entries = dict(base.entries)
        named = [key for key in ("prior", "baseline") if upper.entry(key) is not None]
        if len(named) != 1:
            return base
        rivals = LATENT_SECTIONS if named == ["baseline"] else ("baseline",)
        before = [key for key in rivals if base.entry(key) is not None]
        gone = {key: entries.pop(key).plain for key in rivals if key in entries}
        if before:
            old = " + ".join(f"{key} {type_of(base.entries[key]) or ''}".strip() for key in before)
            new = f"{named[0]} {type_of(upper.entries[named[0]]) or ''}".strip()
            self.swaps.append(Swap((named[0],), old, new, dropped=gone))
        return base.with_entries(entries)

    def _config_class(self, kind: str, name: str) -> type[ComponentConfig] | None:
        try:
            return self.registry.config_class(kind, name)
        except UserError:
            return None

    def _spelling(self, kind: str, name: str) -> str:
        try:
            return self.registry.spelling(self.registry.find(kind, name))
        except UserError:
            return name

    def _shapes(self, shape: Shape, name: str | None) -> Mapping[str, Shape]:
        """The shapes of the keys of a section, which may name a component."""
        if shape.model is not None:
            return shapes_of(shape.model)
        cls = self._config_class(shape.slot, name or shape.default or "") if shape.slot else None
        return {} if cls is None else shapes_of(cls)


def _long_form(node: Node) -> Node:
    """`flow_matching` as `{type: flow_matching}`."""
    return node if isinstance(node.value, dict) else node.with_entries({"type": node})


def _names(extends: Node) -> list[Node]:
    names = extends.value if isinstance(extends.value, list) else [extends]
    for name in names:
        if not isinstance(name.value, str) or not name.value:
            message = "expected a file name or a list of file names"
            raise SpecError([Problem(name.origin, ("extends",), message)])
    return names
