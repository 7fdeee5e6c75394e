"""Options of the couplings. Imports no torch."""

from __future__ import annotations

from colaflex.interfaces.configs import CouplingConfig

__all__ = ["IndependentConfig", "MinibatchOTConfig"]


class IndependentConfig(CouplingConfig):
    """Noise is drawn without regard to the data; there is nothing to choose."""


class MinibatchOTConfig(CouplingConfig):
    """Noise goes to the nearest data of the batch, all in all; there is nothing to choose."""
