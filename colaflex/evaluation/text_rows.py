"""The rows of generated text: the model's, and those that stand beside it for reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from colaflex.corpora.token_index import Data
from colaflex.corpora.tokenizer import Tokenizer
from colaflex.evaluation.ngram import NGramModel
from colaflex.evaluation.plan import EvaluationPlan
from colaflex.evaluation.reconstruction import reconstructions
from colaflex.generation.text import GenerationOptions, Tell, TextGenerator, unheard
from colaflex.interfaces.language_model import LanguageModel

__all__ = ["Prompts", "Sources", "TextRow"]

NGRAM_TOKENS = 2_000_000
"""Of the training text, as many tokens as the n-gram references learn from, evenly spread."""

NGRAMS = {"trigram": 3, "bigram": 2, "unigram": 1}

Prompts = Sequence[Sequence[int]]


@dataclass(frozen=True)
class TextRow:
    """The texts of one source.

    Attributes:
        prompts: tokens that each continues, or none.
        tokens: of each, without end-of-text.
        ended: whether each ended by itself.
    """

    prompts: Prompts
    tokens: Prompts
    ended: Sequence[bool]

    def first(self, count: int) -> TextRow:
        """The first texts, at most so many."""
        return TextRow(self.prompts[:count], self.tokens[:count], self.ended[:count])

    def records(self, source: str, tokenizer: Tokenizer) -> list[dict[str, Any]]:
        """As they stand in samples.jsonl."""
        texts = tokenizer.continued(self.prompts, self.tokens)
        return [
            {
                "source": source,
                "prompt": prompt,
                "text": text,
                "tokens": list(tokens),
                "finish": "end" if ended else "length",
            }
            for (prompt, text), tokens, ended in zip(texts, self.tokens, self.ended, strict=True)
        ]


class Sources:
    """Where texts come from, all continuing the same prompts under the same limit on length.

    Args:
        model: trained.
        data: its corpus as tokens.
        options: the spec's sampling.
        plan: how texts are drawn.
        say: called with a line where prompts are not read whole.
    """

    def __init__(
        self,
        model: LanguageModel,
        data: Data,
        options: GenerationOptions,
        plan: EvaluationPlan,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.model, self.data, self.options, self.plan, self.say = model, data, options, plan, say
        self.held_out = data.index.split(plan.split)
        self._generator = TextGenerator(model, data.tokenizer)

    def prompts(self, count: int) -> list[list[int]]:
        """So many empty prompts, or beginnings of at most so many held-out documents."""
        if not self.plan.prompt_tokens:
            return [[] for _ in range(count)]
        return [d[: self.plan.prompt_tokens] for d in self.held_out.first(count)]

    def generated(
        self,
        prompts: Prompts,
        options: GenerationOptions | None = None,
        seed: int | None = None,
        tell: Tell = lambda done, total: None,
    ) -> TextRow:
        """The model's own texts, by default as the spec's sampling and the plan's seed say."""
        if notice := unheard(self.model, prompts):
            self.say(f"evaluation: {notice}")
        rows = self._generator.generate_tokens(
            prompts, options or self.options, self.plan.seed if seed is None else seed, tell
        )
        return TextRow(prompts, [t for t, _ in rows], [finish == "end" for _, finish in rows])

    def references(self, prompts: Prompts) -> dict[str, TextRow]:
        """The rows that every result stands beside; a model without latents has one row less."""
        oracle = self.oracle_latents(prompts)
        return {
            "real": self.real(prompts),
            **({} if oracle is None else {"oracle_latents": oracle}),
            **{name: self._ngram(order, prompts) for name, order in NGRAMS.items()},
        }

    def real(self, prompts: Prompts) -> TextRow:
        """Held-out documents themselves."""
        return self._rest(prompts, self.held_out.first(len(prompts)))

    def oracle_latents(self, prompts: Prompts) -> TextRow | None:
        """Held-out documents through encoder and decoder, without any error of the prior.

        None where a model has no latents.
        """
        documents: dict[int, list[int]] = {}
        for numbers, back in reconstructions(self.model, self.data.index, self.plan, len(prompts)):
            for number, tokens in zip(numbers.tolist(), back.tokens, strict=True):
                documents.setdefault(number, []).extend(tokens)
        return self._rest(prompts, list(documents.values())) if documents else None

    @cached_property
    def _ngrams(self) -> NGramModel:
        index, tokenizer = self.data.index.split("train"), self.data.tokenizer
        documents = [
            index.tokens[index.offsets[number] : index.offsets[number + 1]]
            for number in index.spread(NGRAM_TOKENS)
        ]
        order = max(NGRAMS.values())
        end, never = tokenizer.end_of_text, (tokenizer.mask,)
        return NGramModel(documents, order, tokenizer.size, end, never)

    def _ngram(self, order: int, prompts: Prompts) -> TextRow:
        model = self._ngrams.lower(order)
        rows = model.sample(prompts, self.options.max_new_tokens, self.plan.seed)
        ended = [bool(row) and row[-1] == model.end_of_text for row in rows]
        bare = [row[:-1] if end else row for row, end in zip(rows, ended, strict=True)]
        return TextRow(prompts, bare, ended)

    def _rest(self, prompts: Prompts, documents: Prompts) -> TextRow:
        """What follows each prompt in the document that it begins, up to the limit."""
        limit = self.options.max_new_tokens
        rows = [d[len(p) :] for d, p in zip(documents, prompts, strict=False)]
        return TextRow(
            prompts[: len(rows)], [row[:limit] for row in rows], [len(row) < limit for row in rows]
        )
