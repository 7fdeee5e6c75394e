"""Options of tasks on stories of known facts. Imports no torch."""

from __future__ import annotations

from pydantic import Field

from colaflex.interfaces.capabilities import TaskCapabilities
from colaflex.interfaces.configs import TaskConfig
from colaflex.interfaces.options import MAX_NEW_TOKENS

__all__ = ["StoryTaskConfig"]


class StoryTaskConfig(TaskConfig):
    """Held-out stories, cut behind a sentence; the corpus itself judges how they go on."""

    max_new_tokens: int = Field(
        64, ge=1, le=MAX_NEW_TOKENS, description="Length of the sentence at most (tokens)."
    )
    items: int = Field(200, ge=1, le=10_000_000, description="Stories that are asked at most.")

    def capabilities(self) -> TaskCapabilities:
        """Items come from the run's corpus, which judges the answers."""
        return TaskCapabilities(source="corpus", scored=False)
