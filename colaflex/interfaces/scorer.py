"""Scorer: whether an answer to a task's item is right. Imports no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod

from colaflex.interfaces.task_item import TaskItem

__all__ = ["Scorer"]


class Scorer(ABC):
    """Right or wrong, a pure function of item and answer.

    Example:
        >>> from colaflex.interfaces.task_item import TaskItem
        >>> class Same(Scorer):
        ...     def right(self, item, answer):
        ...         return answer.strip().casefold() == item.truth.casefold()
        >>> Same().right(TaskItem(("The capital of France is",), "Paris"), " paris")
        True
    """

    @abstractmethod
    def right(self, item: TaskItem, answer: str) -> bool:
        """Whether an answer is right.

        Raises:
            UserError: the item lacks what the scorer needs, such as choices; with its place.
        """
