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

    Example:
        >>> item = TaskItem(("2 + 2 =",), truth="B", choices=("3", "4"), form="option")
        >>> item.choices[1]
        '4'
    """

    prompts: tuple[str, ...]
    truth: str
    choices: tuple[str, ...] = ()
    form: AnswerForm = "text"
    place: str = ""


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An item and what a model has said to it.

    Example:
        >>> StoredAnswer(TaskItem(("2 + 2 =",), truth="4"), answer=" 4").answer
        ' 4'
    """

    item: TaskItem
    answer: str
