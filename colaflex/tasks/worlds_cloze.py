"""The task `worlds_cloze`: a story goes on with what was told before."""

from __future__ import annotations

from collections.abc import Sequence

from colaflex.interfaces.scorer import Scorer
from colaflex.interfaces.task_item import TaskItem
from colaflex.tasks.story import StoryTask

__all__ = ["WorldsCloze"]


class WorldsCloze(StoryTask):
    """Stories cut before a sentence that mentions a factor again.

    The prompt fixes the factor's value. Right is a valid next sentence that gives every factor told
    before the value that it was told with.
    """

    needs = "it needs a sentence that mentions a factor again: more sentences, or more mentions"

    def places(self, sentences: Sequence[str]) -> list[int]:
        """Where a factor recurs."""
        return self.recurring(sentences)

    def right(self, item: TaskItem, answers: Sequence[str], scorer: Scorer | None) -> bool:
        """Whether the next sentence is valid and agrees with what was told."""
        del scorer
        before = self.truth.sentences(item.prompts[0])
        facts = self.truth.facts(self.first_sentence(answers[0]), len(before))
        stated = self.stated_before(before)
        return facts is not None and all(stated.get(f, v) == v for f, v in facts.items())
