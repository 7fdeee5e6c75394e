"""Config of the fixed-patch segmenter. Imports no torch."""

from __future__ import annotations

from pydantic import Field

from colaflex.interfaces.capabilities import SegmenterCapabilities
from colaflex.interfaces.configs import SegmenterConfig

__all__ = ["FixedPatchConfig"]


class FixedPatchConfig(SegmenterConfig):
    """Every `size` tokens are one segment, counted anew from each forced boundary."""

    size: int = Field(2, ge=1, le=256, description="Tokens of one segment.")
    align_prompts: bool = Field(
        True,
        description="Whether no segment straddles the end of a prompt; false leaves patches on "
        "their grid from the document's start, for comparison: the model then never learns from "
        "the part of a patch that a prompt may end with.",
    )

    def capabilities(self) -> SegmenterCapabilities:
        """Fixed length, nothing learned."""
        return SegmenterCapabilities(max_segment_tokens=self.size, aligned=self.align_prompts)
