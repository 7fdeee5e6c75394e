"""Config of the text VAE. Imports no torch."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from colaflex.interfaces.capabilities import RepresentationCapabilities
from colaflex.interfaces.configs import RepresentationConfig

__all__ = ["TextVAEConfig"]


class TextVAEConfig(RepresentationConfig):
    """Gaussian text VAE, causal over segments; no vector looks at later segments."""

    width: int = Field(256, ge=8, le=16384, description="Channels of encoder and decoder.")
    encoder_layers: int = Field(2, ge=0, le=64, description="Transformer layers of the encoder.")
    decoder_layers: int = Field(2, ge=0, le=64, description="Transformer layers of the decoder.")
    heads: int = Field(4, ge=1, le=256, description="Attention heads; must divide the width.")
    embedding_dim: int = Field(128, ge=4, le=8192, description="Channels of a token embedding.")
    rate_weight: float = Field(
        1e-3, ge=0, le=100, description="beta: weight of KL(q || N(0, I)), nats per latent."
    )
    mask_weight: float = Field(
        0.1,
        ge=0,
        le=100,
        description="lambda_mask: weight of recovering hidden tokens, nats per token; 0 is off.",
    )
    mask_ratio: float = Field(0.2, gt=0, lt=1, description="Share of the tokens that are hidden.")
    mask_rows: float = Field(
        0.25, gt=0, le=1, description="Share of the rows that are read a second time, masked."
    )

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % (2 * self.heads):
            raise ValueError(
                f"width {self.width} does not split into {self.heads} heads of even width"
            )
        return self

    @model_validator(mode="after")
    def _normalisable(self) -> Self:
        if self.log_snr != "learned" and self.latent_dim < 2:
            raise ValueError("a fixed log_snr needs latent_dim >= 2: one channel normalises to 0")
        return self

    def capabilities(self) -> RepresentationCapabilities:
        """A Gaussian posterior over tokens of any segment lengths, causal over segments."""
        return RepresentationCapabilities(continuous_density=True)
