"""Configs made small, so that a component is checked in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from colaflex.interfaces.component import ComponentConfig

__all__ = ["changed", "small_config"]

SIZES = {
    "block_size": 2,
    "decoder_layers": 1,
    "embedding_dim": 8,
    "encoder_layers": 1,
    "heads": 2,
    "latent_dim": 4,
    "layers": 1,
    "teacher_steps": 2,
    "time_width": 8,
    "width": 16,
}
"""What fields of these names are set to, where they are whole numbers and larger by default."""


def small_config(
    config_class: type[ComponentConfig], options: Mapping[str, object], name: str = ""
) -> ComponentConfig:
    """The config with given options, and small sizes where nothing forbids them.

    Raises:
        pydantic.ValidationError: the options are wrong, or lack what is required.
    """
    full = {**options, "type": name}
    plain = config_class.model_validate(full)
    try:
        return config_class.model_validate(_merged(_shrunk(plain), full))
    except ValidationError:
        return plain  # the component wants its sizes otherwise


def changed(config: ComponentConfig, **options: object) -> ComponentConfig:
    """The config with other options, validated."""
    fields = {name: getattr(config, name) for name in type(config).model_fields}
    return type(config).model_validate({**fields, **options})


def _shrunk(config: BaseModel) -> dict[str, Any]:
    """Options that make a config small, components and models within it as well."""
    small: dict[str, Any] = {}
    for name in type(config).model_fields:
        value = getattr(config, name)
        if isinstance(value, BaseModel):
            inner = _shrunk(value)
            if inner:
                small[name] = _merged(value.model_dump(exclude_unset=True), inner)
        elif (
            isinstance(value, int)
            and not isinstance(value, bool)
            and value > SIZES.get(name, value)
        ):
            small[name] = SIZES[name]
    return small


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[key] = _merged(below, value) if both else value  # type: ignore[arg-type]
    return merged
