"""Options of the task `next_sentence`. Imports no torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from colaflex.interfaces.capabilities import TaskCapabilities
from colaflex.interfaces.component import Slot
from colaflex.interfaces.configs import ScoredTaskConfig, ScorerConfig

__all__ = ["NextSentenceConfig"]


class NextSentenceConfig(ScoredTaskConfig):
    """Beginnings of held-out documents, with sentences to choose from for what comes next."""

    scorer: Annotated[ScorerConfig, Slot("scorer")] = Field(
        "best_option", description="What tells right answers from wrong ones."
    )  # type: ignore[assignment]
    items: int = Field(200, ge=1, le=10_000_000, description="Passages that are asked at most.")
    choices: int = Field(
        4, ge=2, le=26, description="Sentences to choose from; all but one are of other documents."
    )
    most_words: int = Field(40, ge=1, le=100_000, description="Words of a prompt at most.")
    choice_words: int = Field(
        16,
        ge=1,
        le=100_000,
        description="Words of a choice at most; of longer sentences the first ones, so that none "
        "is longer than an answer can be.",
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of the wrong choices (no unit).")

    def capabilities(self) -> TaskCapabilities:
        """Items come from the run's corpus."""
        return TaskCapabilities(source="corpus")
