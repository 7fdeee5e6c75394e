"""Task: questions with known answers, put to a model as text. Imports no torch."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from colaflex.interfaces.configs import TaskConfig
from colaflex.interfaces.corpus import Truth
from colaflex.interfaces.scorer import Scorer
from colaflex.interfaces.task_item import StoredAnswer, TaskItem

__all__ = ["Task", "TaskSource", "first_line_with_a_word"]

WORD = re.compile(r"\w")


@dataclass(frozen=True, slots=True)
class TaskSource:
    """What a task may draw its items from.

    Attributes:
        data: folder of the user's data.
        documents: held out of the run's corpus, the same in the same order at every reading.
        truth: what is known of them.

    Example:
        >>> source = TaskSource(documents=["One story.", "Another."])
        >>> source.truth is None
        True
    """

    data: Path | None = None
    documents: Iterable[str] = ()
    truth: Truth | None = None


class Task(ABC):
    """Items in a fixed order, how an answer is cut, and when it is right.

    Args:
        config: its options.
        source: what its items are drawn from.

    Example:
        >>> from colaflex.interfaces.configs import TaskConfig
        >>> from colaflex.interfaces.task_item import TaskItem
        >>> class Copy(Task):
        ...     def items(self):
        ...         return [TaskItem((f"{t}, {t[:3]}",), t) for t in self.source.documents]
        >>> task = Copy(TaskConfig(), TaskSource(documents=["one two"]))
        >>> task.items()[0].prompts
        ('one two, one',)
    """

    def __init__(self, config: TaskConfig, source: TaskSource) -> None:
        self.config, self.source = config, source

    @abstractmethod
    def items(self) -> Iterable[TaskItem]:
        """All items, the same in the same order at every reading.

        Raises:
            UserError: the source lacks what the task needs, or can't be read; with its place.
        """

    def stored(self, path: Path) -> Iterable[StoredAnswer]:
        """The items of a file of stored generations, and those, for tasks that read data.

        Raises:
            UserError: the file can't be read, or lacks what the task needs; with its place.
        """
        raise NotImplementedError

    def answer(self, text: str) -> str:
        """The part of generated text that is the answer: up to the newline behind a word."""
        return first_line_with_a_word(text)

    def right(self, item: TaskItem, answers: Sequence[str], scorer: Scorer | None) -> bool:
        """Whether the answers, one a prompt, are right.

        Args:
            item: of this task.
            answers: as `answer` cuts them.
            scorer: None for a task that takes none.
        """
        if scorer is None:
            raise NotImplementedError("a task that takes no scorer judges its answers itself")
        return scorer.right(item, answers[0])


def first_line_with_a_word(text: str) -> str:
    r"""A text up to the first newline that follows a word; all of it where there is none.

    Example:
        >>> first_line_with_a_word("Paris\nand Rome")
        'Paris'
    """
    word = WORD.search(text)
    end = -1 if word is None else text.find("\n", word.end())
    return text if end < 0 else text[:end]
