"""Config of the segmenter with learned boundaries. Imports no torch."""

from __future__ import annotations

from pydantic import Field

from colaflex.interfaces.capabilities import SegmenterCapabilities
from colaflex.interfaces.configs import SegmenterConfig

__all__ = ["LearnedBoundaryConfig"]


class LearnedBoundaryConfig(SegmenterConfig):
    """A segment begins where neighbouring token states differ, by a scorer that learns."""

    rate: float = Field(
        0.2, gt=0.0, lt=1.0, description="Share of the tokens that begin a segment, to be reached."
    )
    max_tokens: int = Field(12, ge=2, le=256, description="Most tokens of one segment.")
    rate_weight: float = Field(
        1.0, ge=0, le=100, description="Weight of the ratio loss that pulls towards the rate."
    )
    next_token_weight: float = Field(
        3.0,
        ge=0,
        le=100,
        description="Weight of foreseeing the next token from the token states, nats per token; "
        "0 is off.",
    )

    def capabilities(self) -> SegmenterCapabilities:
        """Variable length, learned in stage 1 from causal token states."""
        return SegmenterCapabilities(
            max_segment_tokens=self.max_tokens,
            variable=True,
            learned=True,
            needs_states=True,
            needs_vocabulary=True,
        )
