"""What a task asks: the value that tasks yield and scorers see. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from colaflex.interfaces.capabilities import AnswerForm

__all__ = ["StoredAnswer", "TaskItem"]


@dataclass(frozen=True, slots=True)
class TaskItem:
    """One question.

    Attributes:
        prompts: what the model continues; most items have one.
        truth: the right answer, or the letter of the right choice.
        choices: answers to choose from, or none.
        form: what of an answer counts.
        place: `file:line` of an item that was read from a file, for messages.
    """

    prompts: tuple[str, ...]
    truth: str
    choices: tuple[str, ...] = ()
    form: AnswerForm = "text"
    place: str = ""


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An item and what a model has said to it."""

    item: TaskItem
    answer: str
