"""Config of the sound prior with a density. Imports no torch."""

from __future__ import annotations

from colaflex.interfaces.capabilities import PriorCapabilities
from colaflex.interfaces.configs import PriorConfig


class ChainConfig(PriorConfig):
    """Each latent Gaussian given the one before."""

    def capabilities(self) -> PriorCapabilities:
        return PriorCapabilities(likelihood="exact", guidance=False, order="latent")
