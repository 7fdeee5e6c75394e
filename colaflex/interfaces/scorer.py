"""Scorer: whether an answer to a task's item is right. Imports no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod

from colaflex.interfaces.task_item import TaskItem

__all__ = ["Scorer"]


class Scorer(ABC):
    """Right or wrong, a pure function of item and answer."""

    @abstractmethod
    def right(self, item: TaskItem, answer: str) -> bool:
        """Whether an answer is right.

        Raises:
            UserError: the item lacks what the scorer needs, such as choices; with its place.
        """
