"""Short forms of a study file written out, before it is read: every value keeps its place."""

from __future__ import annotations

from colaflex.spec.shapes import shapes_of
from colaflex.spec.yaml import Node
from colaflex.studies.named import long_form
from colaflex.studies.start import Start

__all__ = ["NONE", "full_form"]

NONE = "none"


def full_form(node: Node) -> Node:
    """The content of a study file with all its short forms written out."""
    forms = {
        "objectives": _objectives,
        "sampler": long_form,
        "pruner": lambda child: _null(child) if child.value == NONE else long_form(child),
        "start": _start,
        "controls": _controls,
    }
    entries = {
        key: forms[key](child) if key in forms and child.value is not None else child
        for key, child in node.entries.items()
    }
    return node.with_entries(entries)


def _objectives(node: Node) -> Node:
    """`metric`, or a list of metrics: a list of maps."""
    items = node.value if isinstance(node.value, list) else [node]
    ranks = [
        item.with_entries({"metric": item}) if isinstance(item.value, str) else item
        for item in items
    ]
    return Node(ranks, node.origin, node.key)


def _start(node: Node) -> Node:
    """Key paths apart from the other settings."""
    if node.value == NONE:
        return _null(node)
    shapes = shapes_of(Start)
    paths = {key: child for key, child in node.entries.items() if "." in key}
    if not paths:
        return node
    field = next(key for key, shape in shapes.items() if shape.is_map)
    rest = {key: child for key, child in node.entries.items() if key not in paths}
    return node.with_entries({**rest, field: Node(dict(paths), node.origin, node.key)})


def _controls(node: Node) -> Node:
    return (
        node.with_entries({name: _control(child) for name, child in node.entries.items()})
        if (node.entries)
        else node
    )


def _control(node: Node) -> Node:
    sampler = node.child("sampler")
    if sampler is None:
        return node
    return node.with_entries({**node.entries, "sampler": long_form(sampler)})


def _null(node: Node) -> Node:
    return Node(None, node.origin, node.key)
