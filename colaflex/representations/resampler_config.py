"""Options of the resampler. Imports no torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from colaflex.interfaces.capabilities import RepresentationCapabilities
from colaflex.interfaces.search import SearchRange
from colaflex.representations.configs import TOKEN_CAPABILITIES, NormalisedDim, SegmentDecoderConfig

__all__ = ["ResamplerConfig"]


class ResamplerConfig(SegmentDecoderConfig):
    """Latents asked of a passage by one learned query each; tokens asked of them by others."""

    latent_dim: NormalisedDim = 32
    token_dropout: Annotated[float, SearchRange(choices=(0.0, 0.1, 0.3))] = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the tokens that the encoder learns to do without: it reads a mask in "
        "their place, and they are still to be told. While both halves learn, so does the prior: "
        "latents of that view.",
    )
    latent_dropout: Annotated[float, SearchRange(choices=(0.0, 0.1, 0.3))] = Field(
        0.1,
        ge=0,
        lt=1,
        description="Share of the latents' channels that the decoder learns to do without; those "
        "that stay are not scaled up.",
    )

    def capabilities(self) -> RepresentationCapabilities:
        """Points without a density, of tokens in segments of any length, causal over segments."""
        return TOKEN_CAPABILITIES
