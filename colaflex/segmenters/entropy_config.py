"""Config of the entropy segmenter. Imports no torch."""

from __future__ import annotations

from pydantic import Field

from colaflex.interfaces.capabilities import SegmenterCapabilities
from colaflex.interfaces.configs import SegmenterConfig

__all__ = ["EntropyConfig"]


class EntropyConfig(SegmenterConfig):
    """A segment begins where a small language model is unsure of the next token."""

    rate: float = Field(
        0.3, gt=0.0, lt=1.0, description="Share of the tokens that begin a segment, to be reached."
    )
    max_tokens: int = Field(8, ge=2, le=256, description="Most tokens of one segment.")
    width: int = Field(64, ge=8, le=4096, description="Channels of the language model.")
    layers: int = Field(2, ge=1, le=48, description="Its layers.")
    heads: int = Field(2, ge=1, le=64, description="Its attention heads.")

    def capabilities(self) -> SegmenterCapabilities:
        """Variable length, learned in stage 1."""
        return SegmenterCapabilities(
            max_segment_tokens=self.max_tokens, variable=True, learned=True, needs_vocabulary=True
        )
