"""Short forms of a study file written out, before it is read: every value keeps its place."""

from __future__ import annotations

from dataclasses import replace

from colaflex.files.problems import Problem
from colaflex.files.yaml import Node
from colaflex.studies.sampling.sampler_options import long_form

__all__ = ["as_written", "full_form"]

NONE = "none"
NAMED = "a map with type, options"
CENTRES, OPTIONS = "centres", "options"


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


def as_written(problem: Problem) -> Problem:
    """A problem whose key path is the file's own, not that of the full form."""
    path = problem.path
    for section, inner in (("start", CENTRES), ("sampler", OPTIONS), ("pruner", OPTIONS)):
        for index in range(len(path) - 1):
            if path[index : index + 2] == (section, inner):
                path = (*path[: index + 1], *path[index + 2 :])
    message = problem.message.replace(NAMED, "a name, or a map with its `type` and options")
    return replace(problem, path=path, message=message)


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
    paths = {k: child for k, child in node.entries.items() if "." in k or child.entries}
    if not paths:
        return node
    rest = {key: child for key, child in node.entries.items() if key not in paths}
    return node.with_entries({**rest, CENTRES: Node(dict(paths), node.origin, node.key)})


def _controls(node: Node) -> Node:
    if not isinstance(node.value, dict):
        return node
    return node.with_entries({name: _control(child) for name, child in node.entries.items()})


def _control(node: Node) -> Node:
    sampler = node.child("sampler")
    if sampler is None:
        return node
    return node.with_entries({**node.entries, "sampler": long_form(sampler)})


def _null(node: Node) -> Node:
    return Node(None, node.origin, node.key)
