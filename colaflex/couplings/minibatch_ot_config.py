"""Options of the minibatch optimal-transport coupling. Imports no torch."""

from __future__ import annotations

from colaflex.interfaces.configs import CouplingConfig

__all__ = ["MinibatchOTConfig"]


class MinibatchOTConfig(CouplingConfig):
    """Noise goes to the nearest data of the batch, all in all; there is nothing to choose."""
