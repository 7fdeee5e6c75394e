"""What tasks on stories of known facts share: where a story is cut, and what was stated before."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence

from colaflex.errors import UserError
from colaflex.interfaces.corpus import StoryTruth
from colaflex.interfaces.task import Task
from colaflex.interfaces.task_item import TaskItem
from colaflex.tasks.configs import StoryTaskConfig
from colaflex.tasks.passages import first_items

__all__ = ["StoryTask"]


class StoryTask(Task):
    """Base of tasks that cut a held-out story before one of its sentences.

    The prompt is all sentences before it, the truth that sentence; what is judged is the first
    sentence that is generated.

    Example:
        >>> from colaflex.interfaces.task import TaskSource
        >>> from colaflex.tasks.configs import StoryTaskConfig
        >>> class Ends(StoryTask):
        ...     def places(self, sentences):
        ...         return [len(sentences) - 1]
        >>> worlds = colaflex.build("corpus", "worlds")
        >>> stories = (document.text for document in worlds.documents())
        >>> source = TaskSource(documents=stories, truth=worlds.truth())
        >>> task = Ends(StoryTaskConfig(items=1), source)
        >>> [len(task.truth.sentences(item.prompts[0])) for item in task.items()]
        [3]
    """

    config: StoryTaskConfig

    @abstractmethod
    def places(self, sentences: Sequence[str]) -> Sequence[int]:
        """The sentences of a story, by their place, before which it may be cut."""

    def item(self, sentences: Sequence[str], place: int) -> TaskItem:
        """A story cut before a sentence."""
        return TaskItem((" ".join(sentences[:place]),), sentences[place])

    def items(self) -> Iterator[TaskItem]:
        """The first stories that may be cut, each at one of its places in turn."""
        none = f"no held-out story of this corpus gives an item ({self.needs})"
        yield from first_items(self._items(), self.config.items, f"{self.config.title}: {none}")

    needs = "it needs stories of two sentences or more"
    """What a story has to have, for the message where none has it."""

    @property
    def truth(self) -> StoryTruth:
        """What the corpus knows; raises UserError where it knows no stories."""
        if not isinstance(self.source.truth, StoryTruth):
            raise UserError(
                f"the task {self.config.title} needs a corpus that knows the facts of its stories, "
                "such as worlds"
            )
        return self.source.truth

    def first_sentence(self, answer: str) -> str:
        """The first sentence of an answer, "" where there is none."""
        return next(iter(self.truth.sentences(answer.strip())), "")

    def stated_before(self, sentences: Sequence[str]) -> dict[str, str]:
        """The facts that sentences from the story's beginning agree on, value by factor."""
        stated: dict[str, set[str]] = {}
        for place, sentence in enumerate(sentences):
            for factor, value in (self.truth.facts(sentence, place) or {}).items():
                stated.setdefault(factor, set()).add(value)
        return {factor: min(values) for factor, values in stated.items() if len(values) == 1}

    def recurring(self, sentences: Sequence[str]) -> list[int]:
        """The places whose sentence mentions a factor of which the ones before agree."""
        return [
            place
            for place in range(1, len(sentences))
            if self.stated_before(sentences[:place]).keys()
            & (self.truth.facts(sentences[place], place) or {}).keys()
        ]

    def _items(self) -> Iterator[TaskItem]:
        index = 0
        for story in self.source.documents:
            sentences = self.truth.sentences(story)
            places = self.places(sentences)
            if places:
                yield self.item(sentences, places[index % len(places)])
                index += 1
