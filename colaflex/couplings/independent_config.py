"""Options of the independent coupling. Imports no torch."""

from __future__ import annotations

from colaflex.interfaces.configs import CouplingConfig

__all__ = ["IndependentConfig"]


class IndependentConfig(CouplingConfig):
    """Noise is drawn without regard to the data; there is nothing to choose."""
