"""Options of the task `last_word`. Imports no torch."""

from __future__ import annotations

from pydantic import Field, model_validator

from colaflex.interfaces.capabilities import TaskCapabilities
from colaflex.interfaces.configs import ScoredTaskConfig
from colaflex.interfaces.options import MAX_NEW_TOKENS

__all__ = ["LastWordConfig"]


class LastWordConfig(ScoredTaskConfig):
    """Passages from the beginnings of held-out documents, without their last word."""

    max_new_tokens: int = Field(
        16, ge=1, le=MAX_NEW_TOKENS, description="Length of an answer at most (tokens)."
    )
    items: int = Field(200, ge=1, le=10_000_000, description="Passages that are asked at most.")
    fewest_words: int = Field(8, ge=2, le=100_000, description="Words of a passage at least.")
    most_words: int = Field(40, ge=2, le=100_000, description="Words of a passage at most.")

    @model_validator(mode="after")
    def _some_length_fits(self) -> LastWordConfig:
        if self.most_words < self.fewest_words:
            raise ValueError(
                f"most_words: {self.most_words} is less than fewest_words, {self.fewest_words}"
            )
        return self

    def capabilities(self) -> TaskCapabilities:
        """Items come from the run's corpus."""
        return TaskCapabilities(source="corpus")
