"""Options of the segmenters. Imports no torch."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Self

from pydantic import Field, model_validator

from colaflex.interfaces.capabilities import SegmenterCapabilities
from colaflex.interfaces.component import ComponentConfig, Slot
from colaflex.interfaces.configs import SegmenterConfig, heads_divide_width

__all__ = [
    "FUNCTION_WORDS",
    "EntropyConfig",
    "FixedPatchConfig",
    "LearnedBoundaryConfig",
    "PhraseConfig",
    "PyramidConfig",
]


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


FUNCTION_WORDS = (
    "a about after against all an and any are as at be because before between but by each "
    "every for from had has have he her his i if in into is it its may my no nor not of on or "
    "our over shall she so than that the their then there they this those through to under "
    "unto upon was we were when which while who will with without you your"
)


class PhraseConfig(SegmenterConfig):
    """Phrases: a segment begins behind punctuation and at function words."""

    max_tokens: int = Field(8, ge=2, le=256, description="Most tokens of one segment.")
    punctuation: str = Field(
        ".,;:!?\n", min_length=1, description="Characters behind which a segment begins."
    )
    function_words: str = Field(
        FUNCTION_WORDS,
        description="Words, by spaces, at which a segment begins unless one of them is before it.",
    )

    def capabilities(self) -> SegmenterCapabilities:
        """Variable length, nothing learned, reads the tokens' texts."""
        return SegmenterCapabilities(
            max_segment_tokens=self.max_tokens, variable=True, needs_vocabulary=True
        )


class EntropyConfig(SegmenterConfig):
    """A segment begins where a small language model is unsure of the next token."""

    rate: float = Field(
        0.3, gt=0.0, lt=1.0, description="Share of the tokens that begin a segment, to be reached."
    )
    max_tokens: int = Field(8, ge=2, le=256, description="Most tokens of one segment.")
    width: int = Field(64, ge=8, le=4096, description="Channels of the language model.")
    layers: int = Field(2, ge=1, le=48, description="Its layers.")
    heads: int = Field(2, ge=1, le=64, description="Its attention heads.")

    _heads_divide_width = model_validator(mode="after")(heads_divide_width)

    def capabilities(self) -> SegmenterCapabilities:
        """Variable length, learned in stage 1."""
        return SegmenterCapabilities(
            max_segment_tokens=self.max_tokens, variable=True, learned=True, needs_vocabulary=True
        )


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


class PyramidConfig(SegmenterConfig):
    """Two levels: a coarse latent stands before every run of fine ones."""

    run: int = Field(3, ge=1, le=256, description="Fine segments that a coarse one stands for.")
    fine: Annotated[ComponentConfig, Slot("segmenter")] = Field(
        "fixed_patch", description="Segmenter of the fine segments."
    )  # type: ignore[assignment]

    @model_validator(mode="after")
    def _fine_of_one_level(self) -> Self:
        inner: SegmenterCapabilities = self.fine.capabilities()
        if inner.levels > 1:
            raise ValueError(
                f"fine: {self.fine.type} has {inner.levels} levels itself; choose a segmenter of "
                "one, e.g. fixed_patch"
            )
        if inner.needs_states:
            raise ValueError(
                f"fine: {self.fine.type} needs token states; choose a segmenter that needs none, "
                "e.g. fixed_patch"
            )
        return self

    def capabilities(self) -> SegmenterCapabilities:
        """As the fine segments', in groups of a coarse one and its run."""
        inner: SegmenterCapabilities = self.fine.capabilities()
        return replace(inner, levels=2, group=self.run + 1)
