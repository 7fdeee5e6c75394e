"""The reference of all sections and installed components, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

from colaflex.hooks import KINDS
from colaflex.host.registry import Registry
from colaflex.interfaces.component import ComponentConfig
from colaflex.spec.schema import ready_components
from colaflex.spec.sections import Document
from colaflex.spec.shapes import Shape, shape_of

__all__ = ["reference"]

HEAD = """# Spec reference

A spec is a YAML 1.2 file. A section that names a component takes the short form
`prior: rectified_flow` or the long form with options, `prior: {type: rectified_flow, ...}`.
`extends` names one or more specs that this one builds on, relative to the file; maps are merged
deeply, lists are replaced. `--set a.b.c=VALUE` sets single values; an item of a list goes by its
index. `representation.from: RUN` takes the trained representation of a run.

This page is generated from the installed components.
"""
TABLE = "| key | value | default | what it is |\n|---|---|---|---|"


def reference(registry: Registry) -> str:
    """Every key of every section and of every installed component, as one Markdown page."""
    parts = [HEAD, "## Sections", _table(Document)]
    parts += [_section(name, model) for name, model in _models(Document)]
    for kind in KINDS:
        components = list(ready_components(registry, kind))
        if components:
            parts.append(f"## Kind `{kind}`")
        for entry, cls in components:
            parts.append(f"### `{kind}: {registry.spelling(entry)}`")
            origin = f"From {entry.distribution}, version {entry.component.version} of its results."
            parts += [entry.component.summary, origin, _table(cls)]
            parts += [_section(name, model) for name, model in _models(cls)]
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def _models(cls: type[BaseModel], path: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """The models nested in a model, by key path; not components, they have their own kind."""
    for key, field in cls.model_fields.items():
        shape: Shape | None = shape_of(field)
        name = f"{path}{field.alias or key}"
        while shape is not None and shape.slot is None:
            if shape.model is not None:
                yield name, shape.model
                yield from _models(shape.model, f"{name}.")
            name = f"{name}.NAME"
            shape = shape.item


def _section(name: str, model: type[BaseModel]) -> str:
    text = (model.__doc__ or "").strip()
    paragraphs = "\n".join(line.strip() for line in text.splitlines())
    return f"### `{name}`\n\n{paragraphs}\n\n{_table(model)}"


def _table(model: type[BaseModel]) -> str:
    rows = []
    for key, field in model.model_fields.items():
        if key == "type" and issubclass(model, ComponentConfig):
            continue
        shape = shape_of(field)
        default = "required" if field.is_required() else _default(shape)
        cells = (f"`{field.alias or key}`", _value(shape), default, field.description or "")
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([TABLE, *rows]) if rows else "It has no options."


def _value(shape: Shape) -> str:
    if shape.slot is not None:
        return f"a {shape.slot}"
    return "a map, see below" if shape.model is not None else shape.expected


def _default(shape: Shape) -> str:
    value = shape.default
    if isinstance(value, BaseModel) or (shape.model is not None and value == {}):
        return "see below"
    if isinstance(value, tuple | list):
        return f"`[{', '.join(str(item) for item in value)}]`"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return "`{}`" if value == {} else f"`{value}`"
