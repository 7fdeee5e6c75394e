"""Options of the baseline `autoregressive`. Imports no torch."""

from __future__ import annotations

from pydantic import Field

from colaflex.interfaces.capabilities import BaselineCapabilities, Place
from colaflex.interfaces.configs import BaselineConfig, TransformerSizes

__all__ = ["AutoregressiveConfig"]


class AutoregressiveConfig(TransformerSizes, BaselineConfig):
    """Decoder-only transformer over tokens: rotary positions, QK norm, SwiGLU."""

    tie_embeddings: bool = Field(
        True, description="Whether the output layer's weights are the token embeddings."
    )

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
