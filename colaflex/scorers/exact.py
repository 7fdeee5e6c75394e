"""The scorer `exact`: an answer has to say the truth, in the form that the task asks for."""

from __future__ import annotations

from colaflex.interfaces.configs import ScorerConfig
from colaflex.interfaces.scorer import Scorer
from colaflex.interfaces.task_item import TaskItem
from colaflex.scorers.answers import first_word, meant_option, normalised

__all__ = ["Exact", "ExactConfig"]


class ExactConfig(ScorerConfig):
    """An answer is right where it says the truth; there is nothing to choose."""


class Exact(Scorer):
    """How the figures of Cola DLM's released checkpoint were computed (arXiv 2605.06548).

    By the form of the item: `first_word` compares first words, `text` whole texts (choices are
    ignored), both normalised. `option` finds out which option answer and truth mean; they agree, or
    their normalised texts are equal.
    """

    def __init__(self, config: ExactConfig) -> None:
        self.config = config

    def right(self, item: TaskItem, answer: str) -> bool:
        """Whether an answer says the truth."""
        if item.form == "first_word":
            return first_word(answer) == first_word(item.truth)
        if normalised(answer) == normalised(item.truth):
            return True
        if item.form == "text":
            return False
        meant = meant_option(answer, item.choices)
        return meant is not None and meant == meant_option(item.truth, item.choices)
