"""Config of the phrase segmenter. Imports no torch."""

from __future__ import annotations

from pydantic import Field

from colaflex.interfaces.capabilities import SegmenterCapabilities
from colaflex.interfaces.configs import SegmenterConfig

__all__ = ["FUNCTION_WORDS", "PhraseConfig"]

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
