from __future__ import annotations

import inspect
from typing import Any

import pytest

from colaflex.host.builtin import colaflex_components
from colaflex.host.registry import registry

OURS = [(c.kind, c.name) for c in colaflex_components()]


@pytest.mark.parametrize(("kind", "name"), OURS)
def test_every_component_of_ours_can_be_imported(kind: Any, name: str) -> None:
    config = registry().config_class(kind, name)
    assert config.kind == kind
    assert all(field.description for field in config.model_fields.values())
    assert inspect.isclass(registry().target(kind, name))


def test_no_config_of_ours_imports_torch(site: Any) -> None:
    done = site.python(
        "-c",
        "import sys\nfrom colaflex.host.registry import registry\n"
        "from colaflex.hooks import KINDS\n"
        "r = registry()\n"
        "for kind in KINDS:\n    for name in r.names(kind): r.config_class(kind, name)\n"
        "assert not r.heavy_configs, r.heavy_configs\nassert 'torch' not in sys.modules",
    )
    assert done.returncode == 0, done.stderr
