"""Options of segmenter and representation. Imports neither torch nor transformers."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from colaflex.interfaces.capabilities import RepresentationCapabilities, SegmenterCapabilities
from colaflex.interfaces.configs import RepresentationConfig, SegmenterConfig

__all__ = ["ENCODER_WIDTH", "SentenceConfig", "SentenceEncodingConfig"]

ENCODER_WIDTH = 384
"""Channels of a sentence's vector as the encoder gives it."""


class SentenceConfig(SegmenterConfig):
    """Sentences: a segment begins behind the marks that end one."""

    max_tokens: int = Field(
        32, ge=2, le=256, description="Most tokens of one segment; a longer sentence is cut."
    )
    marks: str = Field(".!?", min_length=1, description="Characters that end a sentence.")
    closing: str = Field(
        "\"'”’)]", description="Characters that belong to the sentence whose end they follow."
    )

    def capabilities(self) -> SegmenterCapabilities:
        """Variable length, nothing learned, reads the tokens' texts."""
        return SegmenterCapabilities(
            max_segment_tokens=self.max_tokens, variable=True, needs_vocabulary=True
        )


class SentenceEncodingConfig(RepresentationConfig):
    """Vectors of all-MiniLM-L6-v2, frozen, and a trained decoder."""

    latent_dim: int = Field(
        ENCODER_WIDTH,
        ge=2,
        le=ENCODER_WIDTH,
        description="Channels of one latent; all 384 of the encoder are taken as they are, fewer "
        "by a projection.",
    )
    projection: Literal["trained", "random"] = Field(
        "trained",
        description="How fewer channels are made: by a matrix trained along with the decoder, or "
        "by fixed random orthogonal directions.",
    )
    width: int = Field(256, ge=8, le=16384, description="Channels of the decoder.")
    decoder_layers: int = Field(2, ge=0, le=64, description="Transformer layers of the decoder.")
    heads: int = Field(4, ge=1, le=256, description="Attention heads; must divide the width.")
    embedding_dim: int = Field(
        128, ge=4, le=8192, description="Channels from which the token of a slot is read."
    )
    decoder_noise: float = Field(
        0.1,
        ge=0,
        le=10,
        description="Std of the Gaussian noise on the latents that the decoder learns from, in "
        "units of their root mean square, which is 1; 0 is off.",
    )

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % (2 * self.heads):
            raise ValueError(
                f"width {self.width} does not split into {self.heads} heads of even width"
            )
        return self

    def capabilities(self) -> RepresentationCapabilities:
        """Points without a density, of segments of any length, each encoded alone."""
        return RepresentationCapabilities(continuous_density=False)
