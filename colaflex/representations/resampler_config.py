"""Options of the resampler. Imports no torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from colaflex.interfaces.capabilities import RepresentationCapabilities
from colaflex.interfaces.search import SearchRange
from colaflex.representations.configs import (
    TOKEN_CAPABILITIES,
    NormalisedDim,
    SegmentDecoderConfig,
    TokenDropout,
)

__all__ = ["ResamplerConfig"]


class ResamplerConfig(SegmentDecoderConfig):
    """Latents asked of a passage by one learned query each; tokens asked of them by others."""

    latent_dim: NormalisedDim = 32
    token_dropout: Annotated[TokenDropout, SearchRange(choices=(0.0, 0.1, 0.3))] = 0.0
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
