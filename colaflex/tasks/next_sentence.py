"""The task `next_sentence`: which sentence comes next in a held-out passage."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from colaflex.errors import UserError
from colaflex.interfaces.task import Task
from colaflex.interfaces.task_item import TaskItem
from colaflex.statistics.draws import keyed_rng
from colaflex.tasks.configs import NextSentenceConfig
from colaflex.tasks.passages import sentences_of

__all__ = ["NextSentence"]


class NextSentence(Task):
    """The true next sentence among those that come next in other documents.

    The model sees the passage alone, no choices; what it writes stands for the choice that it is
    most similar to. So any model can be asked, whether or not it has a likelihood.
    """

    config: NextSentenceConfig

    def items(self) -> Iterator[TaskItem]:
        """One item of each of the first documents that are long enough."""
        cut = list(islice(self._passages(), self.config.items))
        sentences = list(dict.fromkeys(truth for _, truth in cut))
        wrong = self.config.choices - 1
        if len(sentences) <= wrong:
            raise UserError(
                f"the task {self.config.title}: {self.config.choices} choices need as many "
                f"different sentences, the held-out documents give {len(sentences)}"
            )
        for index, (prompt, truth) in enumerate(cut):
            others = [sentence for sentence in sentences if sentence != truth]
            rng = keyed_rng("next_sentence", self.config.seed, index)
            drawn = [others[i] for i in rng.choice(len(others), wrong, replace=False)]
            place = int(rng.integers(self.config.choices))
            choices = (*drawn[:place], truth, *drawn[place:])
            yield TaskItem((prompt,), truth, choices, "option")

    def _passages(self) -> Iterator[tuple[str, str]]:
        """Of each document with two sentences, its beginning and how it goes on."""
        for document in self.source.documents:
            sentences = sentences_of(document)
            count, words = 0, 0
            for sentence in sentences[:-1]:
                words += len(sentence.split())
                if words > self.config.most_words:
                    break
                count += 1
            if count:
                following = sentences[count].split()[: self.config.choice_words]
                yield " ".join(sentences[:count]), " ".join(following)
