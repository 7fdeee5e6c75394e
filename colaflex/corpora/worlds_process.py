"""The generative process of the corpus `worlds`, known exactly.

A document is about a few factors (who, where, which animal, ...), each with one of several values.
It has a fixed number of sentences; sentence i mentions a fixed set of factors in one of several
wordings. A mention uses the document's value with probability `sharing`, else a fresh uniform
draw. So sharing 1 makes documents that hang together, and sharing 0 is the separable control: the
same sentences with nothing to hold them together.

p* factorises: wordings are uniform and independent; the mentions m of one factor have probability
(1/V) sum_v prod_j [s·1(m_j = v) + (1-s)/V], independently of other factors. The number of
sentences is fixed, so the end-of-text behind the last one is certain and adds nothing to log p*
or to the entropy: both count it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import comb, exp, factorial, log, log1p, prod

import numpy as np
from pydantic import Field, model_validator

from colaflex.corpora.worlds_grammar import FACTORS, MAX_PARAPHRASES, sentence_template
from colaflex.interfaces.configs import CorpusConfig

__all__ = [
    "Derivation",
    "Judgement",
    "SentenceDerivation",
    "World",
    "WorldsConfig",
    "split_sentences",
]

MOST = 100_000_000
"""Documents of a split: they take hours to write out, and hundreds of gigabytes to hold."""


class WorldsConfig(CorpusConfig):
    """Options of the corpus `worlds`."""

    factors: int = Field(5, ge=1, le=len(FACTORS), description="Independent factors.")
    values: int = Field(8, ge=2, le=16, description="Values of each factor.")
    sentences: int = Field(4, ge=1, le=16, description="Sentences of a document.")
    paraphrases: int = Field(4, ge=1, le=MAX_PARAPHRASES, description="Wordings of a sentence.")
    sharing: float = Field(
        1.0, ge=0, le=1, description="Probability that a mention uses the document's value."
    )
    mentions: int = Field(
        2, ge=1, le=len(FACTORS), description="Factors that a sentence mentions, at most all."
    )
    documents: int = Field(20_000, ge=1, le=MOST, description="Documents of the train split.")
    validation_documents: int = Field(1000, ge=1, le=MOST, description="Documents to validate on.")
    test_documents: int = Field(1000, ge=1, le=MOST, description="Documents to test on.")
    judge_documents: int = Field(5000, ge=1, le=MOST, description="Documents to train judges on.")
    seed: int = Field(0, ge=0, description="Seed of the documents, apart from the run's seed.")

    @model_validator(mode="after")
    def _mentions_exist(self) -> WorldsConfig:
        if self.mentions > self.factors:
            raise ValueError(
                f"mentions: a sentence can't mention {self.mentions} of {self.factors} factors; "
                f"at most {self.factors}"
            )
        return self


@dataclass(frozen=True, slots=True)
class SentenceDerivation:
    """How a sentence came about.

    Attributes:
        position: number of the sentence in its document, from 0.
        paraphrase: which wording.
        values: value of each mentioned factor, in the order of `World.mentioned(position)`.
    """

    position: int
    paraphrase: int
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Derivation:
    """How a document came about: its sentences in order."""

    sentences: tuple[SentenceDerivation, ...]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a text is worth as a document of a world.

    Attributes:
        sentences: sentences found, with an unfinished one at the end.
        valid_sentences: how many of them the grammar can make at their place.
        valid: every sentence is valid and their number is right.
        coherent: valid, and no factor is mentioned with two values.
        values: the values mentioned in valid sentences, by name of the factor, in order.
    """

    sentences: int
    valid_sentences: int
    valid: bool
    coherent: bool
    values: dict[str, tuple[int, ...]]


class World:
    """The distribution p* over documents: draw, render, parse, log p*, entropy."""

    def __init__(self, config: WorldsConfig) -> None:
        self.config = config
        self._mentioned = [self._window(i) for i in range(config.sentences)]
        self._templates = [
            [sentence_template(factors, p) for p in range(config.paraphrases)]
            for factors in self._mentioned
        ]
        # Sentences repeat across documents: writing one out once makes corpora of millions cheap.
        self.render_sentence = lru_cache(maxsize=2**16)(self._render_sentence)

    @cached_property
    def mention_counts(self) -> tuple[int, ...]:
        """How often a document mentions each factor."""
        counts = Counter(f for i in range(self.config.sentences) for f in self.mentioned(i))
        return tuple(counts[factor] for factor in range(self.config.factors))

    @cached_property
    def _skeletons(self) -> list[dict[tuple[str, ...], tuple[int, tuple[int, ...]]]]:
        """For each position: words with values replaced by their factor's mark → wording."""
        tables = []
        for position, templates in enumerate(self._templates):
            mentioned = self.mentioned(position)
            table = {}
            for paraphrase, (template, order) in enumerate(templates):
                marks = [f"{{{mentioned[place]}}}" for place in order]
                table[_words(template.format(*marks))] = (paraphrase, order)
            tables.append(table)
        return tables

    @cached_property
    def _value_of_word(self) -> dict[str, tuple[int, int]]:
        return {
            word: (factor, value)
            for factor in range(self.config.factors)
            for value, word in enumerate(FACTORS[factor].values[: self.config.values])
        }

    def mentioned(self, position: int) -> tuple[int, ...]:
        """The factors that a sentence mentions: a window that rotates through all factors."""
        return self._mentioned[position]

    def _window(self, position: int) -> tuple[int, ...]:
        factors, mentions = self.config.factors, self.config.mentions
        start = position * mentions
        if factors % mentions == 0:  # else every round would make the same sets
            start += start // factors
        return tuple((start + offset) % factors for offset in range(mentions))

    def factor_name(self, factor: int) -> str:
        """The role of a factor, e.g. "place"."""
        return FACTORS[factor].name

    def draw(self, rng: np.random.Generator) -> Derivation:
        """One document from p*."""
        return next(self.draws(rng, 1))

    def draws(self, rng: np.random.Generator, count: int) -> Iterator[Derivation]:
        """Documents from p*; what is drawn depends on the generator and the count."""
        config = self.config
        shape = (count, config.sentences, config.mentions)
        paraphrases = rng.integers(config.paraphrases, size=shape[:2])
        document = rng.integers(config.values, size=(count, config.factors))
        fresh = rng.integers(config.values, size=shape)
        shared = rng.random(shape) < config.sharing
        index = np.array([self.mentioned(i) for i in range(config.sentences)])
        mentions = np.where(shared, document[:, index], fresh)
        for wordings, values in zip(paraphrases.tolist(), mentions.tolist(), strict=True):
            yield Derivation(
                tuple(
                    SentenceDerivation(i, wording, tuple(values[i]))
                    for i, wording in enumerate(wordings)
                )
            )

    def render(self, derivation: Derivation) -> str:
        """The document's text: its sentences, each by `render_sentence`."""
        return " ".join(map(self.render_sentence, derivation.sentences))

    def _render_sentence(self, sentence: SentenceDerivation) -> str:
        template, order = self._templates[sentence.position][sentence.paraphrase]
        mentioned = self.mentioned(sentence.position)
        words = [FACTORS[mentioned[place]].values[sentence.values[place]] for place in order]
        return template.format(*words)

    def parse_sentence(self, text: str, position: int | None = None) -> SentenceDerivation | None:
        """The one derivation of a sentence at a position (anywhere: the first that fits)."""
        if not text.endswith("."):
            return None
        words = _words(text)
        mentions = [self._value_of_word.get(word) for word in words]
        key = tuple(
            word if mention is None else f"{{{mention[0]}}}"
            for word, mention in zip(words, mentions, strict=True)
        )
        values = [mention[1] for mention in mentions if mention is not None]
        positions = range(self.config.sentences) if position is None else (position,)
        for place in positions:
            entry = self._skeletons[place].get(key) if place < self.config.sentences else None
            if entry is not None:
                paraphrase, order = entry
                arranged = tuple(values[order.index(slot)] for slot in range(len(order)))
                sentence = SentenceDerivation(place, paraphrase, arranged)
                return sentence if self.render_sentence(sentence) == text else None
        return None

    def parse(self, text: str) -> list[SentenceDerivation | None]:
        """Each sentence's derivation at its place in the text; None where there is none."""
        return [self.parse_sentence(s, i) for i, s in enumerate(split_sentences(text))]

    def derivation(self, text: str) -> Derivation | None:
        """The document's one derivation, or None for a text that is no document."""
        parsed = [sentence for sentence in self.parse(text) if sentence is not None]
        complete = len(parsed) == self.config.sentences == len(split_sentences(text))
        return Derivation(tuple(parsed)) if complete else None

    def mentions(self, sentences: list[SentenceDerivation]) -> dict[int, tuple[int, ...]]:
        """The values mentioned of each factor, in order."""
        values: dict[int, list[int]] = {}
        for sentence in sentences:
            for factor, value in zip(
                self.mentioned(sentence.position), sentence.values, strict=True
            ):
                values.setdefault(factor, []).append(value)
        return {factor: tuple(values[factor]) for factor in sorted(values)}

    def words(self, sentence: SentenceDerivation) -> dict[str, str]:
        """The word for each factor that a sentence mentions, by name of the factor."""
        mentioned = [FACTORS[factor] for factor in self.mentioned(sentence.position)]
        return {f.name: f.values[v] for f, v in zip(mentioned, sentence.values, strict=True)}

    def document_judgement(self, text: str) -> Judgement:
        """Validity and coherence of a text."""
        parsed = self.parse(text)
        valid_sentences = [sentence for sentence in parsed if sentence is not None]
        values = self.mentions(valid_sentences)
        valid = len(parsed) == len(valid_sentences) == self.config.sentences
        coherent = valid and all(len(set(one)) == 1 for one in values.values())
        named = {self.factor_name(factor): one for factor, one in values.items()}
        return Judgement(len(parsed), len(valid_sentences), valid, coherent, named)

    def log_prob(self, derivation: Derivation, sharing: float | None = None) -> float:
        """log p* of a document in nats, exactly; -inf where sharing 1 rules it out."""
        config = self.config
        s = config.sharing if sharing is None else sharing
        total = -config.sentences * log(config.paraphrases)
        for values in self.mentions(list(derivation.sentences)).values():
            total += _log_mentions(tuple(Counter(values).values()), config.values, s)
        return total

    def entropy(self, sharing: float | None = None) -> float:
        """Entropy of a document in nats, exactly: by patterns of how often values are mentioned."""
        config = self.config
        s = config.sharing if sharing is None else sharing
        total = config.sentences * log(config.paraphrases)
        for count in self.mention_counts:
            for pattern in _partitions(count, config.values):
                log_p = _log_mentions(pattern, config.values, s)
                if log_p > float("-inf"):
                    total -= _arrangements(pattern, config.values) * exp(log_p) * log_p
        return total


def _words(sentence: str) -> tuple[str, ...]:
    return tuple(sentence[:-1].replace(",", " ,").split(" "))


def split_sentences(text: str) -> list[str]:
    """Sentences: up to a full stop and one space, and what is left behind the last."""
    parts = text.split(". ")
    return [*(part + "." for part in parts[:-1]), *parts[-1:]] if text else []


def _log_mentions(pattern: tuple[int, ...], values: int, sharing: float) -> float:
    """log probability of a factor's mentions, of which each value takes a part (zeros left out)."""
    count = sum(pattern)
    if count == 0:
        return 0.0
    other = (1.0 - sharing) / values
    terms = [count * log(sharing + other)] if len(pattern) == 1 else []
    if other > 0.0:
        gain = log1p(sharing / other)
        terms = [count * log(other) + part * gain for part in pattern]
        if values > len(pattern):
            terms.append(count * log(other) + log(values - len(pattern)))
    if not terms:
        return float("-inf")
    top = max(terms)
    return top + log(sum(exp(term - top) for term in terms)) - log(values)


def _partitions(total: int, parts: int, largest: int | None = None) -> Iterator[tuple[int, ...]]:
    """The ways to write a total as at most so many positive parts, in falling order."""
    if total == 0:
        yield ()
        return
    if parts == 0:
        return
    for first in range(min(total, total if largest is None else largest), 0, -1):
        for rest in _partitions(total - first, parts - 1, first):
            yield (first, *rest)


def _arrangements(pattern: tuple[int, ...], values: int) -> int:
    """How many sequences of values have a pattern of counts."""
    orders = factorial(sum(pattern)) // prod(map(factorial, pattern))
    chosen, left = 1, values
    for repeats in Counter(pattern).values():
        chosen *= comb(left, repeats)
        left -= repeats
    return orders * chosen
