"""The scorer `best_option`: an answer stands for the option that it is most similar to."""

from __future__ import annotations

from colaflex.errors import UserError
from colaflex.interfaces.configs import ScorerConfig
from colaflex.interfaces.scorer import Scorer
from colaflex.interfaces.task_item import TaskItem
from colaflex.scorers.answers import meant_option, most_similar, normalised

__all__ = ["BestOption", "BestOptionConfig"]


class BestOptionConfig(ScorerConfig):
    """An answer stands for the option that it is most similar to; there is nothing to choose."""


class BestOption(Scorer):
    """The scoring that Cola DLM's paper describes (arXiv 2605.06548).

    The option most similar to the answer's normalised first line, the first on ties, has to be the
    truth. Chance is one in as many as there are options, since every answer stands for one.
    """

    def __init__(self, config: BestOptionConfig) -> None:
        self.config = config

    def right(self, item: TaskItem, answer: str) -> bool:
        """Whether the most similar option is the true one; raises UserError without choices."""
        if not item.choices:
            place = f"{item.place}: " if item.place else ""
            raise UserError(
                f"{place}the scorer best_option needs choices, this item has none; "
                "the scorer exact needs none"
            )
        options = [normalised(choice) for choice in item.choices]
        truth = normalised(item.truth)
        index = options.index(truth) if truth in options else meant_option(item.truth, options)
        first_line = answer.strip().partition("\n")[0]
        return (
            index is not None
            and options[most_similar(normalised(first_line), options)[0]] == (options[index])
        )
