"""Options of the baseline `autoregressive`. Imports no torch."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from colaflex.interfaces.capabilities import BaselineCapabilities, Place
from colaflex.interfaces.configs import BaselineConfig

__all__ = ["AutoregressiveConfig"]


class AutoregressiveConfig(BaselineConfig):
    """Decoder-only transformer over tokens: rotary positions, QK norm, SwiGLU."""

    width: int = Field(256, ge=8, le=16384, description="Channels of the states.")
    layers: int = Field(6, ge=1, le=256, description="Transformer layers.")
    heads: int = Field(4, ge=1, le=256, description="Attention heads; must divide the width.")
    feed_forward_ratio: float = Field(
        4.0, gt=0, le=16, description="Feed-forward cost, as the width ratio of a plain MLP."
    )
    tie_embeddings: bool = Field(
        True, description="Whether the output layer's weights are the token embeddings."
    )

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % (2 * self.heads):
            raise ValueError(
                f"width {self.width} does not split into {self.heads} heads of even width"
            )
        return self

    def capabilities(self) -> BaselineCapabilities:
        """An exact likelihood; neither solver steps nor guidance."""
        return BaselineCapabilities(
            likelihood="exact",
            place=Place(
                state_space="prefixes of tokens",
                path="direct generation",
                factorisation="∏ p(x_i | x_<i)",
                continuity="nowhere",
            ),
            steps=False,
            guidance=False,
        )
