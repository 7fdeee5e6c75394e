"""The task `worlds_order`: the sentence that comes next is the one in its place."""

from __future__ import annotations

from collections.abc import Sequence

from colaflex.interfaces.scorer import Scorer
from colaflex.interfaces.task_item import TaskItem
from colaflex.tasks.story import StoryTask

__all__ = ["WorldsOrder"]


class WorldsOrder(StoryTask):
    """Stories cut before any sentence but the first.

    Right is a sentence that is valid at this place of a story, whatever it states.
    """

    def places(self, sentences: Sequence[str]) -> range:
        """Every place but the first."""
        return range(1, len(sentences))

    def right(self, item: TaskItem, answers: Sequence[str], scorer: Scorer | None) -> bool:
        """Whether the next sentence is valid in its place."""
        del scorer
        place = len(self.truth.sentences(item.prompts[0]))
        return self.truth.facts(self.first_sentence(answers[0]), place) is not None
