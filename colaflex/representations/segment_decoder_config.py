"""Config shared by representations that decode segments of tokens. Imports no torch."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, model_validator

from colaflex.interfaces.configs import RepresentationConfig, heads_divide_width
from colaflex.representations.readout_config import ReadoutConfig

__all__ = ["SegmentDecoderConfig"]


class SegmentDecoderConfig(RepresentationConfig):
    """A decoder of token segments, causal over segments, and how its input is disturbed."""

    for_priors: ClassVar[tuple[str, ...]] = ("readout",)
    width: int = Field(256, ge=8, le=16384, description="Channels of encoder and decoder.")
    encoder_layers: int = Field(2, ge=0, le=64, description="Transformer layers of the encoder.")
    decoder_layers: int = Field(2, ge=0, le=64, description="Transformer layers of the decoder.")
    heads: int = Field(4, ge=1, le=256, description="Attention heads; must divide the width.")
    embedding_dim: int = Field(128, ge=4, le=8192, description="Channels of a token embedding.")
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

    readout: ReadoutConfig = Field(
        ReadoutConfig(), description="What priors are offered, which stage 1 has nothing of."
    )

    _heads_divide_width = model_validator(mode="after")(heads_divide_width)
