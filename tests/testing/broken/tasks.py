"""Tasks and scorers with one fault each."""

# ruff: noqa: ANN001  what overrides a method has the types of what it overrides

from __future__ import annotations

import random
from dataclasses import replace

from colaflex.scorers.exact import Exact, ExactConfig
from colaflex.tasks.configs import LastWordConfig
from colaflex.tasks.last_word import LastWord


class Words(LastWord):
    def __init__(self, config: LastWordConfig, source) -> None:
        super().__init__(config, source)


class AsksNothing(Words):
    def items(self):
        return iter(())


class HasNoPrompt(Words):
    def items(self):
        return (replace(item, prompts=()) for item in super().items())


class ShufflesItems(Words):
    def items(self):
        found = list(super().items())
        random.shuffle(found)
        return iter(found)


class AsksForAnotherWord(Words):
    def right(self, item, answers, scorer):
        return super().right(replace(item, truth="elsewhere"), answers, scorer)


class IsContentWithAnything(Words):
    def right(self, item, answers, scorer):
        return True


class CutsAWordAtATime(Words):
    def answer(self, text):
        return text[: text.rfind(" ")]


class Same(Exact):
    def __init__(self, config: ExactConfig) -> None:
        super().__init__(config)


class SaysNo(Same):
    def right(self, item, answer):
        return False


class SaysYes(Same):
    def right(self, item, answer):
        return True


class TiresOfAnAnswer(Same):
    def __init__(self, config: ExactConfig) -> None:
        super().__init__(config)
        self.heard = []

    def right(self, item, answer):
        self.heard.append(answer)
        return super().right(item, answer) and self.heard.count(answer) < 20


FAULTS = {
    AsksNothing: ("task.items", "it has no items"),
    HasNoPrompt: ("task.items", "at least one prompt"),
    ShufflesItems: ("task.repeatable", "in another order"),
    AsksForAnotherWord: ("task.judges", "is no right answer"),
    IsContentWithAnything: ("task.judges", "'xyzzy plugh' is a right answer to 40 of 40"),
    CutsAWordAtATime: ("task.cuts", "it takes"),
    SaysNo: ("scorer.truth", "is not right"),
    SaysYes: ("scorer.others", "is right where the truth is"),
    TiresOfAnAnswer: ("scorer.pure", "depends on what it was asked before"),
}
