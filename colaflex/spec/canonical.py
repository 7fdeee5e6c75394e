"""A spec as plain data: in full for people, without defaults and paths for its digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from colaflex.errors import UserError
from colaflex.files.problems import KeyPath, dotted
from colaflex.files.reading import read_json
from colaflex.files.writing import sha256_file
from colaflex.host.registry import Registry
from colaflex.interfaces.component import ComponentConfig
from colaflex.spec.shapes import Shape, shapes_of

__all__ = ["canonical", "components_of", "plain", "sha256_of", "stage1_of_run"]


def plain(value: Any, registry: Registry) -> Any:
    """Maps, lists and scalars; a component's type is its distribution:name."""
    if isinstance(value, BaseModel):
        named = {key: plain(item, registry) for key, item in _fields(value)}
        if isinstance(value, ComponentConfig):
            return {"type": registry.entry_of(value).qualified, **named}
        return named
    if isinstance(value, Mapping):
        return {key: plain(item, registry) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, registry) for item in value]
    return to_jsonable_python(value)


def canonical(value: Any, registry: Registry, *, contents: bool = True) -> Any:
    """As `plain`, without what is at its default and without paths.

    Args:
        value: a model, or anything in one.
        registry: knows the defaults of fields that name components.
        contents: whether a path is replaced by a digest of what it leads to, or left out.
    """
    if isinstance(value, ComponentConfig):
        named = _changed(value, registry, contents)
        if contents:
            named |= value.contents()
        return {"type": registry.entry_of(value).qualified, **named}
    if isinstance(value, BaseModel):
        return _changed(value, registry, contents)
    if isinstance(value, Path):
        return _content(value) if contents else None
    if isinstance(value, Mapping):
        return {key: canonical(item, registry, contents=contents) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(item, registry, contents=contents) for item in value]
    return to_jsonable_python(value)


def components_of(value: Any, registry: Registry, path: KeyPath = ()) -> dict[str, list[str]]:
    """[distribution:name, version] of every component in a model, by key path."""
    components: dict[str, list[str]] = {}
    if isinstance(value, ComponentConfig):
        entry = registry.entry_of(value)
        components[dotted(path)] = [entry.qualified, entry.component.version]
    if isinstance(value, BaseModel):
        shapes = shapes_of(type(value))
        for key, item in _fields(value):
            if _as_before(item, shapes[key], registry) is None:
                components |= components_of(item, registry, (*path, key))
    elif isinstance(value, Mapping | list | tuple):
        items: Mapping[Any, Any] = value if isinstance(value, Mapping) else dict(enumerate(value))
        for key, item in items.items():
            components |= components_of(item, registry, (*path, key))
    return components


def sha256_of(data: Any) -> str:
    """SHA-256 of canonical JSON: sorted keys, no spaces."""
    text = json.dumps(
        data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return hashlib.sha256(text.encode()).hexdigest()


def stage1_of_run(run: Path) -> str | None:
    """Identifies the representation that a run ended with; None where there is no run.

    By its weights, as the run recorded them: what came out of its stage 1 may have been trained
    further. Before it has ended, by its spec.
    """
    recorded = _recorded(run).get("representation_digest")
    if isinstance(recorded, str) and recorded:
        return recorded
    spec = run / "spec.yaml"
    return sha256_file(spec) if spec.is_file() else None


def _fields(model: BaseModel) -> Iterator[tuple[str, Any]]:
    for name, field in type(model).model_fields.items():
        if name != "type" or not isinstance(model, ComponentConfig):
            yield field.alias or name, getattr(model, name)


def _changed(model: BaseModel, registry: Registry, contents: bool) -> dict[str, Any]:
    changed = {}
    shapes = shapes_of(type(model))
    for key, value in _fields(model):
        shape = shapes[key]
        default = shape.default
        if shape.slot is not None and default is not None:
            default = _default_component(shape.slot, shape.unset, registry)
        elif shape.model is not None and isinstance(default, Mapping):
            default = shape.model.model_validate(default)
        default = _unsaid(default, shape)
        if _says_nothing(value, default, shape, registry):
            continue
        before = _as_before(value, shape, registry)
        if before is not None:
            changed[key] = {**before, **_changed(value, registry, contents)}
            continue
        reduced = canonical(value, registry, contents=contents)
        if reduced is not None or value is None:
            changed[key] = reduced
    return changed


def _as_before(value: Any, shape: Shape, registry: Registry) -> dict[str, str] | None:
    """How a component was chosen before the field named one; None where it couldn't be."""
    if shape.before is None or not isinstance(value, ComponentConfig):
        return None
    entry = registry.entry_of(value)
    name, first = entry.component.name, shape.before.first
    if not entry.source.own or entry.component.version != "1" or name not in shape.before.choices:
        return None
    return {} if name == first else {shape.before.chooser: name}


def _says_nothing(value: Any, default: Any, shape: Shape, registry: Registry) -> bool:
    """Whether a value is the default, or was, with all that is in it."""
    if plain(value, registry) in (plain(default, registry), *shape.former):
        return True
    if not isinstance(value, BaseModel) or type(value) is not type(default):
        return False
    inner, of_default = shapes_of(type(value)), dict(_fields(default))
    return all(
        _says_nothing(item, of_default[key], inner[key], registry) for key, item in _fields(value)
    )


def _unsaid(default: Any, shape: Shape) -> Any:
    """What a field holds that says nothing: its default, or what runs go by that lack the field."""
    if shape.absent:
        return shape.absent[0]
    if not isinstance(default, BaseModel):
        return default
    inner = shapes_of(type(default))
    values = {key: (item, _unsaid(item, inner[key])) for key, item in _fields(default)}
    changed = {key: unsaid for key, (item, unsaid) in values.items() if unsaid is not item}
    return default.model_copy(update=changed) if changed else default


def _default_component(kind: str, raw: object, registry: Registry) -> ComponentConfig | None:
    try:
        return registry.config(kind, raw)
    except UserError:
        return None  # a default that isn't installed is never the value


def _content(path: Path) -> str | None:
    """What a path leads to, wherever it lies: a run by its digest, a file by its content."""
    if path.is_file():
        return sha256_file(path)
    digest = _recorded(path).get("spec_digest")
    return digest if isinstance(digest, str) else None


def _recorded(run: Path) -> dict[str, Any]:
    try:
        result = read_json(run / "result.json")
    except UserError:
        return {}  # no finished run there: the caller decides what that means
    return result if isinstance(result, dict) else {}
