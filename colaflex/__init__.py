"""Continuous-latent language models from interchangeable parts.

Example:
    >>> import colaflex
    >>> spec = colaflex.Spec.load("spec.yaml").override({"prior": "gaussian"})
    >>> spec
    Spec(name='tiny', corpus='worlds', segmenter='fixed_patch', representation='text_vae',
         prior='gaussian')
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from colaflex.experiment.experiment import load, run
    from colaflex.hooks import Component, hookimpl
    from colaflex.host.registry import build
    from colaflex.spec import Spec

    __version__: str

__all__ = ["Component", "Spec", "__version__", "build", "hookimpl", "load", "run"]

_HOMES = {
    "Component": "colaflex.hooks",
    "Spec": "colaflex.spec",
    "build": "colaflex.host.registry",
    "hookimpl": "colaflex.hooks",
    "load": "colaflex.experiment.experiment",
    "run": "colaflex.experiment.experiment",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import colaflex` stays light."""
    if name == "__version__":
        from importlib import metadata

        return metadata.version("colaflex")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
