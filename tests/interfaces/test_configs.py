"""The one rule by which heads share a width holds wherever a config has both."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from colaflex.host.builtin import colaflex_components
from colaflex.host.registry import registry
from colaflex.interfaces.configs import TransformerSizes, check_heads
from colaflex.priors.density_config import TransformerConfig
from colaflex.spec.sections import Judge

OURS = [registry().config_class(c.kind, c.name) for c in colaflex_components()]
WITH_HEADS: list[type[BaseModel]] = [
    *(config for config in OURS if {"width", "heads"} <= config.model_fields.keys()),
    *(TransformerConfig, TransformerSizes, Judge),
]


def test_components_of_every_kind_with_a_transformer_are_asked() -> None:
    kinds = {getattr(config, "kind", "") for config in WITH_HEADS}
    assert kinds == {"segmenter", "representation", "prior", "network", "baseline", ""}
    assert len(WITH_HEADS) >= 13


@pytest.mark.parametrize("config", WITH_HEADS, ids=lambda config: config.__name__)
@pytest.mark.parametrize(
    ("width", "heads"), [(20, 3), (12, 4), (10, 10), (8, 8), (9, 1), (16, 5), (30, 30)]
)
def test_heads_of_uneven_width_are_refused(config: Any, width: int, heads: int) -> None:
    with pytest.raises(ValidationError) as refused:
        config(width=width, heads=heads)
    (error,) = refused.value.errors()
    message = f"width {width} does not split into {heads} heads of even width"
    assert error["msg"] == f"Value error, {message}"
    assert error["loc"] == ()


@pytest.mark.parametrize("config", WITH_HEADS, ids=lambda config: config.__name__)
@pytest.mark.parametrize(("width", "heads"), [(8, 4), (10, 1), (16, 8), (12, 3)])
def test_heads_of_even_width_pass(config: Any, width: int, heads: int) -> None:
    assert config(width=width, heads=heads).heads == heads


@pytest.mark.parametrize(("width", "heads"), [(10, 4), (6, 2), (7, 1)])
def test_the_rule_says_what_is_wrong(width: int, heads: int) -> None:
    with pytest.raises(ValueError, match=f"width {width} does not split into {heads} heads"):
        check_heads(width, heads)
