"""Config of the block-causal transformer. Imports no torch."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from colaflex.interfaces.capabilities import NetworkCapabilities
from colaflex.interfaces.configs import NetworkConfig

__all__ = ["BlockCausalConfig"]


class BlockCausalConfig(NetworkConfig):
    """Block-causal transformer: rotary positions, QK norm, SwiGLU, AdaLN-zero."""

    width: int = Field(256, ge=8, le=16384, description="Channels of the states.")
    layers: int = Field(6, ge=1, le=256, description="Transformer layers.")
    heads: int = Field(4, ge=1, le=256, description="Attention heads; must divide the width.")
    feed_forward_ratio: float = Field(
        4.0, gt=0, le=16, description="Feed-forward cost, as the width ratio of a plain MLP."
    )
    time_width: int = Field(
        128, ge=8, le=16384, description="Channels of the time embedding that drives AdaLN."
    )
    rope_theta: float = Field(
        10_000.0, gt=1, description="Base of the rotary wavelengths (positions)."
    )

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % (2 * self.heads):
            raise ValueError(
                f"width {self.width} does not split into {self.heads} heads of even width"
            )
        return self

    def capabilities(self) -> NetworkCapabilities:
        """Exact cache, forward-mode AD, any number of times."""
        return NetworkCapabilities(cache=True, forward_ad=True, max_times=None)
