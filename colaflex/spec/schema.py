"""One JSON Schema (draft 2020-12) over every installed component, for editors."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaValue, models_json_schema

from colaflex.errors import UserError
from colaflex.hooks import KINDS
from colaflex.host.components import Entry
from colaflex.host.registry import Registry
from colaflex.interfaces.component import ComponentConfig
from colaflex.spec.sections import Document
from colaflex.spec.shapes import Shape, shapes_of

__all__ = ["json_schema", "ready_components"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
REFERENCE = re.compile(r'"#/\$defs/([^"]+)"')
FROM = {"type": "string", "description": "Run folder whose stage 1 is taken (a path)."}
EXTENDS = {
    "description": "Specs that this one builds on, relative to this file, first to last.",
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}],
}


def ready_components(
    registry: Registry, kind: str
) -> Iterator[tuple[Entry, type[ComponentConfig]]]:
    """Every usable component of a kind with its config class, by name.

    One whose config fails is left out: `colaflex plugins` lists it, and an editor can't offer it.
    """
    for name in registry.names(kind):
        try:
            entry, config = registry.find(kind, name), registry.config_class(kind, name)
        except UserError:
            continue
        if entry.source.own or _has_schema(config):
            yield entry, config


def _has_schema(config: type[ComponentConfig]) -> bool:
    try:
        config.model_json_schema()
    except Exception:  # a stranger's field may be anything
        return False
    return True


def json_schema(registry: Registry) -> dict[str, Any]:
    """The schema of spec files: short forms, long forms, `extends`."""
    components = {kind: list(ready_components(registry, kind)) for kind in KINDS}
    configs = [cls for entries in components.values() for _, cls in entries]
    models = list(dict.fromkeys(_reachable([Document, *configs])))
    references, generated = models_json_schema([(model, "validation") for model in models])
    definitions: dict[str, Any] = generated["$defs"]
    for model in models:
        name = references[model, "validation"]["$ref"].rsplit("/", 1)[1]
        _link_slots(definitions[name], model)
    for kind, entries in components.items():
        options = []
        for entry, cls in entries:
            base = definitions[references[cls, "validation"]["$ref"].rsplit("/", 1)[1]]
            key = f"{kind}.{registry.spelling(entry)}"
            definitions[key] = _component(base, entry, registry)
            options.append({"$ref": f"#/$defs/{key}"})
        names = sorted({name for entry, _ in entries for name in _names(entry, registry)})
        short = {"enum": names, "description": f"Name of a {kind}."}
        definitions[kind] = {"anyOf": [short, *options]} if options else {"not": {}}
    for cls in configs:
        definitions.pop(references[cls, "validation"]["$ref"].rsplit("/", 1)[1], None)
    root = definitions.pop(references[Document, "validation"]["$ref"].rsplit("/", 1)[1])
    root["properties"]["extends"] = EXTENDS
    root.pop("required", None)
    root["anyOf"] = [{"required": ["corpus"]}, {"required": ["extends"]}]
    root["title"] = "colaflex spec"
    used = _referenced(root, definitions)
    return {"$schema": DIALECT, **root, "$defs": {key: definitions[key] for key in sorted(used)}}


def _referenced(root: JsonSchemaValue, definitions: dict[str, Any]) -> set[str]:
    """The definitions that the schema leads to."""
    used: set[str] = set()
    unvisited = [root]
    while unvisited:
        references = set(REFERENCE.findall(json.dumps(unvisited.pop()))) - used
        used |= references
        unvisited += [definitions[name] for name in references]
    return used


def _reachable(models: list[type[BaseModel]]) -> Iterator[type[BaseModel]]:
    """The models and all models nested in them."""
    for model in models:
        yield model
        inner: list[type[BaseModel]] = []
        for shape in shapes_of(model).values():
            nested: Shape | None = shape
            while nested is not None:
                if nested.model is not None and nested.slot is None:
                    inner.append(nested.model)
                nested = nested.item
        yield from _reachable(inner)


def _link_slots(definition: JsonSchemaValue, model: type[BaseModel]) -> None:
    """Fields that name a component refer to the schema of its kind."""
    for key, shape in shapes_of(model).items():
        old = definition["properties"][key]
        link = _linked(shape)
        if link is not None:
            texts = {name: old[name] for name in ("description", "default", "title") if name in old}
            nullable = any(option.get("type") == "null" for option in old.get("anyOf", ()))
            branch = {"anyOf": [link, {"type": "null"}]} if nullable else link
            definition["properties"][key] = {**texts, **branch}


def _linked(shape: Shape) -> dict[str, Any] | None:
    if shape.slot is not None:
        return {"$ref": f"#/$defs/{shape.slot}"}
    inner = None if shape.item is None else _linked(shape.item)
    if inner is None:
        return None
    if shape.is_map:
        return {"type": "object", "additionalProperties": inner}
    return {"type": "array", "items": inner}


def _component(base: JsonSchemaValue, entry: Entry, registry: Registry) -> JsonSchemaValue:
    """A component's own options, told apart by `type`; without one the section's default holds."""
    names = [{"const": name} for name in _names(entry, registry)]
    kind = {"anyOf": names, "description": f"{entry.component.summary}"}
    properties = {**base["properties"], "type": kind}
    if entry.component.kind == "representation":
        properties["from"] = FROM
    described = {**base, "description": entry.component.summary, "properties": properties}
    return {**described, "title": f"{entry.component.kind} {entry.component.name}"}


def _names(entry: Entry, registry: Registry) -> list[str]:
    return list(dict.fromkeys((registry.spelling(entry), entry.qualified)))
