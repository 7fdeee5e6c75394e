"""Config shared by the autoencoders over token segments. Imports no torch."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from colaflex.interfaces.configs import RepresentationConfig

__all__ = ["SegmentAutoencoderConfig"]


class SegmentAutoencoderConfig(RepresentationConfig):
    """Encoder and decoder over token segments, causal over segments."""

    width: int = Field(256, ge=8, le=16384, description="Channels of encoder and decoder.")
    encoder_layers: int = Field(2, ge=0, le=64, description="Transformer layers of the encoder.")
    decoder_layers: int = Field(2, ge=0, le=64, description="Transformer layers of the decoder.")
    heads: int = Field(4, ge=1, le=256, description="Attention heads; must divide the width.")
    embedding_dim: int = Field(128, ge=4, le=8192, description="Channels of a token embedding.")
    token_layers: int = Field(
        0,
        ge=0,
        le=64,
        description="Causal transformer layers over the token embeddings, before they are joined "
        "by segment; with any, segmenters that need token states can be chosen.",
    )
    decoder_noise: float = Field(
        0.0,
        ge=0,
        le=10,
        description="Std of the Gaussian noise on the latents that the decoder learns from, in "
        "units of each latent's root mean square; 0 is off.",
    )
    latent_dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the latents' channels that the decoder learns to do without.",
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

    coarse_weight: float = Field(
        0.1,
        ge=0,
        le=100,
        description="Where segments have two levels: weight of telling from a coarse latent which "
        "tokens it stands for, nats per token.",
    )

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % (2 * self.heads):
            raise ValueError(
                f"width {self.width} does not split into {self.heads} heads of even width"
            )
        if self.token_layers and self.embedding_dim % 2:
            raise ValueError(f"token_layers need an even embedding_dim, not {self.embedding_dim}")
        return self
