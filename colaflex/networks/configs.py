"""Options of the networks. Imports no torch."""

from __future__ import annotations

from pydantic import Field

from colaflex.interfaces.capabilities import NetworkCapabilities
from colaflex.interfaces.configs import NetworkConfig, TransformerSizes

__all__ = ["BlockCausalConfig"]


class BlockCausalConfig(TransformerSizes, NetworkConfig):
    """Block-causal transformer: rotary positions, QK norm, SwiGLU, AdaLN-zero."""

    time_width: int = Field(
        128, ge=8, le=16384, description="Channels of the time embedding that drives AdaLN."
    )
    rope_theta: float = Field(
        10_000.0, gt=1, description="Base of the rotary wavelengths (positions)."
    )

    def capabilities(self) -> NetworkCapabilities:
        """Exact cache, forward-mode AD, any number of times."""
        return NetworkCapabilities(cache=True, forward_ad=True, max_times=None, position_times=True)
