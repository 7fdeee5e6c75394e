"""A part of a study that is named, with options: a sampler, a pruner."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from colaflex.files.yaml import Node
from colaflex.spec.training import Section

__all__ = ["Named", "long_form"]


class Named(Section):
    """What it is, and its options: `tpe`, or `{type: tpe, multivariate: true}`."""

    type: str = Field(..., min_length=1, max_length=100, description="Its name.")
    options: dict[str, Any] = Field({}, description="Its options by name.")


def long_form(node: Node) -> Node:
    """A node of a file as `Named` holds it: options apart from the type."""
    if isinstance(node.value, str):
        return node.with_entries({"type": node})
    if not isinstance(node.value, dict):
        return node
    options = {key: child for key, child in node.entries.items() if key != "type"}
    entries = {key: child for key, child in node.entries.items() if key == "type"}
    if options:
        entries["options"] = Node(options, node.origin, node.key)
    return node.with_entries(entries)
