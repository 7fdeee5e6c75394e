"""How good rows of texts are: by what the corpus knows, else by words and a judge."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np

from colaflex.corpora.token_index import Data
from colaflex.evaluation.diversity import distinct_documents
from colaflex.evaluation.judge import Judge
from colaflex.evaluation.judge_training import JudgeCost, judge_cost, require_documents, train_judge
from colaflex.evaluation.plan import EvaluationPlan
from colaflex.evaluation.text_quality import TextSamples, real_text_metrics, split_words
from colaflex.evaluation.text_rows import TextRow
from colaflex.evaluation.training_text import TrainingText
from colaflex.generation.text import Tell
from colaflex.interfaces.corpus import Truth
from colaflex.metrics.measurements import Measurements

__all__ = ["Quality", "truth_rows"]

TOKENS_AT_ONCE = 1 << 18
"""Tokens of training documents held as text, and as lists, at once, but for one long document."""

JUDGE_TOKENS = 1_000_000
"""Of the judge split, as many tokens as a judge learns from, evenly spread."""


class Quality:
    """Measures rows of texts beside each other.

    Args:
        data: the corpus as tokens.
        truth: what the corpus knows for certain, or None.
        plan: what is measured.
        say: called with a line before a judge is trained.
        tell: called with how far its training is.

    Raises:
        UserError: a judge is needed, and its split has too few documents.
    """

    def __init__(
        self,
        data: Data,
        truth: Truth | None,
        plan: EvaluationPlan,
        say: Callable[[str], None],
        tell: Tell = lambda done, total: None,
    ) -> None:
        self.data, self.truth, self.plan, self.say, self.tell = data, truth, plan, say, tell
        self._settings = plan.judged_by if plan.samples and truth is None else None
        if self._settings is not None:
            require_documents(len(data.index.splits["judge"]))

    def measure(self, *groups: Mapping[str, TextRow]) -> list[dict[str, Measurements]]:
        """The metrics of every row, and of rows that the corpus adds.

        Rows of a group stand beside each other. The training text is read once for all groups.
        """
        if self.truth is not None:
            return [self._by_truth(self.truth, rows) for rows in groups]
        texts = [self._texts(rows) for rows in groups]
        every = (text for group in texts for row in group.values() for text in row)
        training = TrainingText(map(split_words, self._training_texts()), map(split_words, every))
        return [self._by_words(*each, training) for each in zip(groups, texts, strict=True)]

    def _texts(self, rows: Mapping[str, TextRow]) -> dict[str, list[str]]:
        continued = self.data.tokenizer.continued
        return {
            name: [text for _, text in continued(row.prompts, row.tokens)]
            for name, row in rows.items()
        }

    def _by_words(
        self, rows: Mapping[str, TextRow], texts: Mapping[str, list[str]], training: TrainingText
    ) -> dict[str, Measurements]:
        return real_text_metrics(
            {name: TextSamples(texts[name], row.ended) for name, row in rows.items()},
            training,
            self.judge,
            None if self.judge is None else self.data.tokenizer.encode,
            self.plan.bootstrap,
            self.data.tokenizer.writes,
        )

    @cached_property
    def judge(self) -> Judge | None:
        """Trained when first asked for; None where the corpus or the plan needs none."""
        if self._settings is None:
            return None
        self.say("evaluation: training the judge, on documents no model under test has seen")
        tokenizer = self.data.tokenizer
        return train_judge(
            self._judge_documents(),
            tokenizer.size,
            tokenizer.end_of_text,
            self._settings,
            lambda step, steps, _: self.tell(step, steps),
        )

    def judge_cost(self) -> JudgeCost | None:
        """What the judge will cost; None where there is none."""
        if self._settings is None:
            return None
        tokenizer = self.data.tokenizer
        return judge_cost(
            self._judge_documents(), tokenizer.size, tokenizer.end_of_text, self._settings
        )

    def _judge_documents(self) -> list[list[int]]:
        index, end = self.data.index.split("judge"), self.data.tokenizer.end_of_text
        return [[*index.document(i), end] for i in index.spread(JUDGE_TOKENS)]

    def _by_truth(self, truth: Truth, rows: Mapping[str, TextRow]) -> dict[str, Measurements]:
        whole = {
            name: self.data.tokenizer.decode_batch(
                [[*p, *t] for p, t in zip(row.prompts, row.tokens, strict=True)]
            )
            for name, row in rows.items()
        }
        return truth_rows(truth, whole, self.plan.bootstrap)

    def _training_texts(self) -> Iterator[str]:
        index = self.data.index.split("train")
        start = 0
        while start < len(index):
            end = int(np.searchsorted(index.offsets, index.offsets[start] + TOKENS_AT_ONCE))
            numbers = range(start, min(max(end, start + 1), len(index)))
            yield from self.data.tokenizer.decode_batch([index.document(i) for i in numbers])
            start = numbers.stop


def truth_rows(
    truth: Truth, rows: Mapping[str, Sequence[str]], resamples: int = 1000
) -> dict[str, Measurements]:
    """The corpus's own measures of every row, and of its references, which "real" is made into.

    Beside them stands `distinct_documents`, so that no model passes for good by saying one thing.

    All at equal numbers of documents, so that the biases of finite samples are equal.
    """
    rows = {**rows, **truth.references(rows["real"])}
    size = min((len(texts) for texts in rows.values() if texts), default=0)
    result = {}
    for name, texts in rows.items():
        metrics = dict(truth.measure(texts[:size], resamples))
        metrics["distinct_documents"] = distinct_documents(texts[:size])
        result[name] = Measurements(metrics, dict(truth.items(texts[:size])))
    return result
