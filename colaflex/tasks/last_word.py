"""The task `last_word`: the last word of a held-out passage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from colaflex.interfaces.task import Task
from colaflex.interfaces.task_item import TaskItem
from colaflex.tasks.configs import LastWordConfig
from colaflex.tasks.passages import first_items, words_of

__all__ = ["LastWord"]


class LastWord(Task):
    """As LAMBADA asks, on the run's own corpus: the passage is given, its last word is not.

    A passage is the beginning of a document, up to the end of a sentence where one ends in reach.
    """

    config: LastWordConfig

    def items(self) -> Iterator[TaskItem]:
        """One item of each of the first documents that are long enough."""
        few = (
            f"no held-out document has {self.config.fewest_words} words; set a smaller fewest_words"
        )
        yield from first_items(self._items(), self.config.items, f"{self.config.title}: {few}")

    def _items(self) -> Iterator[TaskItem]:
        for document in self.source.documents:
            words = words_of(document)[: self.config.most_words]
            last = self._last([word[0] for word in words])
            if last is not None:
                prompt = document[: words[last].start()].rstrip()
                yield TaskItem((prompt,), words[last][0], form="first_word")

    def _last(self, words: Sequence[str]) -> int | None:
        """The word to ask for: the last one that ends a sentence, else the last one."""
        places = [
            place
            for place in range(self.config.fewest_words - 1, len(words))
            if any(character.isalnum() for character in words[place])
        ]
        ends = [place for place in places if words[place].endswith((".", "!", "?"))]
        return next(reversed(ends or places), None)
