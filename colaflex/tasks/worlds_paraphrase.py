"""The task `worlds_paraphrase`: in other words a story goes on with the same facts."""

from __future__ import annotations

from collections.abc import Sequence

from colaflex.interfaces.scorer import Scorer
from colaflex.interfaces.task_item import TaskItem
from colaflex.tasks.story import StoryTask

__all__ = ["WorldsParaphrase"]


class WorldsParaphrase(StoryTask):
    """Stories cut where a factor recurs, told in their own wording and in another.

    Right are two valid next sentences that agree on every factor told before. What they state for
    the first time is free, since a sampler draws it anew; whether the facts are true is not asked,
    that is `worlds_cloze`.
    """

    needs = (
        "it needs corpus.paraphrases of 2 or more, and a sentence that mentions a factor again: "
        "more sentences, or more mentions"
    )

    def places(self, sentences: Sequence[str]) -> list[int]:
        """Where a factor recurs, if there are other words for what stands before."""
        return self.recurring(sentences) if self.truth.reworded(sentences[0], 0) else []

    def item(self, sentences: Sequence[str], place: int) -> TaskItem:
        """A story and its rewording, cut before a sentence."""
        before = sentences[:place]
        other = [self.truth.reworded(each, index) or each for index, each in enumerate(before)]
        return TaskItem((" ".join(before), " ".join(other)), sentences[place])

    def right(self, item: TaskItem, answers: Sequence[str], scorer: Scorer | None) -> bool:
        """Whether both next sentences are valid and agree on what was told."""
        del scorer
        before = self.truth.sentences(item.prompts[0])
        first, second = (
            self.truth.facts(self.first_sentence(answer), len(before)) for answer in answers
        )
        if first is None or second is None:
            return False
        return all(first.get(factor) == second.get(factor) for factor in self.stated_before(before))
