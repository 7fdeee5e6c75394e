"""Metrics of text quality, of rows that stand beside each other: words at equal size, a judge."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from colaflex.evaluation.diversity import distinct_ngrams, repetition, unigram_entropy
from colaflex.evaluation.spelling import LOSSY
from colaflex.evaluation.training_text import TrainingText
from colaflex.interfaces.metric import Items, Measurement
from colaflex.metrics.measurements import Measurements
from colaflex.statistics.intervals import mean, proportion, ratio

__all__ = [
    "JudgeLike",
    "TextSamples",
    "clip_words",
    "equal_size",
    "real_text_metrics",
    "split_words",
]

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


@dataclass(frozen=True)
class TextSamples:
    """Texts of one source.

    Attributes:
        texts: the texts, drawn in an order that means nothing.
        ended: of each, whether it ended by itself (end-of-text), not by a limit on its length.
    """

    texts: Sequence[str]
    ended: Sequence[bool]


class JudgeLike(Protocol):
    """A language model that scores documents of tokens, e.g. `judge.Judge`."""

    end_of_text: int

    def nll(self, documents: Sequence[Sequence[int]]) -> list[tuple[float, int]]:
        """-log p in nats and the number of tokens of every document."""
        ...  # pragma: no cover


def real_text_metrics(
    rows: Mapping[str, TextSamples],
    training: TrainingText,
    judge: JudgeLike | None = None,
    tokenize: Callable[[str], Sequence[int]] | None = None,
    resamples: int = 1000,
    writes: Callable[[Sequence[str]], bool] = lambda texts: True,
) -> dict[str, Measurements]:
    """Metrics of every row (model, real text, unigram, ...), compared at equal size.

    Lengths, ends and the judge see each row's texts whole; all that is counted in words sees as
    many words of each row as the smallest row has. Give every row the same limit on length. The
    judge reads texts as the tokenizer splits them, whatever tokens a model had chosen.

    Args:
        rows: the sources by name.
        training: index of the training text.
        judge: scores the rows; without one, its metrics are left out.
        tokenize: text to the judge's tokens, without end-of-text; needed by the judge.
        resamples: bootstrap resamples.
        writes: whether the judge's tokens say all that texts do; where they don't, what it says
            per byte is left out.

    Returns:
        of each row: `judge_nll` (nats per token, end-of-text included where the text ended),
        `judge_nll_per_byte` (nats per UTF-8 byte), `unigram_entropy` (nats per word), `distinct_1`
        .. `distinct_4`, `repetition`, `longest_repeat` (words), `copying`, `known_words`,
        `known_bigrams`, `mean_words`, `mean_bytes`, `ended`; of what the judge and the ends say,
        also what each text adds.
    """
    if (judge is None) != (tokenize is None):
        raise ValueError("a judge and its tokenizer come together")
    words = {name: [split_words(text) for text in row.texts] for name, row in rows.items()}
    same_size = equal_size(words)
    result = {}
    for name, row in rows.items():
        measured = _lengths(row, words[name], resamples)
        measured.metrics |= _word_metrics(same_size[name], training, resamples)
        if judge is not None and tokenize is not None:
            measured.add(_judged(row, judge, tokenize, resamples))
            if not writes(row.texts):
                measured.leave_out("judge_nll_per_byte", LOSSY)
        result[name] = measured
    return result


def _lengths(row: TextSamples, words: Sequence[Sequence[str]], resamples: int) -> Measurements:
    sizes = [len(text.encode()) for text in row.texts]
    metrics = {
        "mean_words": mean([len(text) for text in words], "mean_words", resamples=resamples),
        "mean_bytes": mean(sizes, "mean_bytes", resamples=resamples),
        "ended": proportion(row.ended),
    }
    return Measurements(metrics, {"ended": Items.of(row.ended)})


def _word_metrics(
    words: Sequence[Sequence[str]], training: TrainingText, resamples: int
) -> dict[str, Measurement]:
    return {
        "unigram_entropy": unigram_entropy(words),
        **{f"distinct_{n}": distinct_ngrams(words, n) for n in range(1, 5)},
        **repetition(words, resamples=resamples),
        **training.shares(words),
    }


def _judged(
    row: TextSamples, judge: JudgeLike, tokenize: Callable[[str], Sequence[int]], resamples: int
) -> Measurements:
    documents = [
        [*tokenize(text), *([judge.end_of_text] if ended else [])]
        for text, ended in zip(row.texts, row.ended, strict=True)
    ]
    scores = judge.nll(documents)
    nll, tokens = [score[0] for score in scores], [score[1] for score in scores]
    sizes = [len(text.encode()) for text in row.texts]
    metrics = {
        "judge_nll": ratio(nll, tokens, "judge", resamples=resamples),
        "judge_nll_per_byte": ratio(nll, sizes, "judge", resamples=resamples),
    }
    items = {"judge_nll": Items.of(nll, tokens), "judge_nll_per_byte": Items.of(nll, sizes)}
    return Measurements(metrics, items)


def split_words(text: str) -> list[str]:
    """The words of a text: maximal runs of letters and digits, inner apostrophes kept, casefolded.

    Punctuation, underscores and white space separate words and count for nothing, so that "Lord's,"
    is "lord's" and "well-known" is two words. A curly apostrophe is read as a straight one.
    """
    return [word.replace("’", "'") for word in _WORD.findall(text.casefold())]


def clip_words(documents: Sequence[Sequence[str]], words: int) -> list[list[str]]:
    """The first documents that hold `words` words together, the last one cut to fit."""
    clipped: list[list[str]] = []
    for document in documents:
        if words <= 0:
            break
        clipped.append(list(document[:words]))
        words -= len(clipped[-1])
    return clipped


def equal_size(collections: Mapping[str, Sequence[Sequence[str]]]) -> dict[str, list[list[str]]]:
    """Every collection clipped to the number of words of the smallest one that has any.

    Entropy, distinct-n and the like depend on how much text they see; compare them at equal size.
    """
    sizes = [sum(map(len, documents)) for documents in collections.values()]
    words = min((size for size in sizes if size > 0), default=0)
    return {name: clip_words(documents, words) for name, documents in collections.items()}
