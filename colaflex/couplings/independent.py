"""The independent coupling: noise as it was drawn."""

from __future__ import annotations

from torch import Tensor

from colaflex.couplings.configs import IndependentConfig
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.solver import Coupling

__all__ = ["Independent"]


class Independent(Coupling):
    """p(data) · p(noise): the coupling of plain flow matching."""

    def __init__(self, config: IndependentConfig) -> None:
        self.config = config

    def pair(self, data: Tensor, noise: Tensor, mask: Tensor, draws: Noise) -> Tensor:
        """The noise, untouched."""
        del data, mask, draws
        return noise

    def pair_all(self, data: Tensor, noise: Tensor, mask: Tensor, draws: Noise) -> Tensor:
        """The noise, untouched: no block is looked at."""
        return self.pair(data, noise, mask, draws)
