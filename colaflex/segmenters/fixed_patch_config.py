"""Config of the fixed-patch segmenter. Imports no torch."""

from __future__ import annotations

from pydantic import Field

from colaflex.interfaces.capabilities import SegmenterCapabilities
from colaflex.interfaces.configs import SegmenterConfig

__all__ = ["FixedPatchConfig"]


class FixedPatchConfig(SegmenterConfig):
    """Every `size` tokens are one segment, counted anew from each forced boundary."""

    size: int = Field(2, ge=1, le=256, description="Tokens of one segment.")

    def capabilities(self) -> SegmenterCapabilities:
        """Fixed length, nothing learned."""
        return SegmenterCapabilities(max_segment_tokens=self.size)
