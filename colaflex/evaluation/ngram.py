"""N-gram models of tokens: the honest baselines beside a model's row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from colaflex.statistics.draws import keyed_rng
from colaflex.statistics.intervals import Floats

__all__ = ["NGramModel"]

Tokens = NDArray[np.int64]


@dataclass(frozen=True)
class _Level:
    """The counts of one order, sorted by context and token.

    Attributes:
        contexts: (contexts,) sorted codes of the contexts seen.
        starts: (contexts + 1,) where each context's entries start.
        keys: (entries,) sorted context · vocabulary + token.
        shares: (entries,) discounted count over the context's count.
        cumulative: (entries + 1,) running sum of the shares over all entries.
        left: (contexts,) the share that the discounts leave to the lower order.
    """

    contexts: Tokens
    starts: Tokens
    keys: Tokens
    shares: Floats
    cumulative: Floats
    left: Floats


class NGramModel:
    """Interpolated absolute discounting (Ney, Essen and Kneser 1994) down to uniform tokens.

    p_k(w | h) = max(c(hw) - D, 0) / c(h) + D · types(h) / c(h) · p_{k-1}(w | h'), where the context
    h' is h without its oldest token and D = n1 / (n1 + 2 n2), from the k-grams seen once and twice.
    A context that was never seen passes to the lower order. Every token is possible everywhere.

    Attributes:
        order: 1 unigram, 2 bigram, 3 trigram.
        vocabulary: number of token ids.
        end_of_text: id that ends a document, and stands before its first token as context.
    """

    def __init__(
        self,
        documents: Iterable[ArrayLike],
        order: int,
        vocabulary: int,
        end_of_text: int,
        never: Sequence[int] = (),
    ) -> None:
        """Count the n-grams of documents, each ending with end-of-text if it is whole.

        Ids in `never` (the mask) get no share of the uniform distribution.

        Raises ValueError where the documents hold no token, or the order is too high for codes of
        63 bits.
        """
        if order < 1 or vocabulary**order >= 2**63:
            raise ValueError(f"order {order} with {vocabulary} tokens does not fit 63 bits")
        self.order, self.vocabulary, self.end_of_text = order, vocabulary, end_of_text
        rows = [np.asarray(document) for document in documents]
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        if lengths.sum() == 0:
            raise ValueError("the training documents hold no tokens")
        tokens = np.concatenate(rows).astype(np.int64)
        place = np.arange(len(tokens)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        self._possible = np.setdiff1d(np.arange(vocabulary), np.asarray(never, dtype=np.int64))
        self._levels = [self._count(tokens, place, length) for length in range(order)]

    def lower(self, order: int) -> NGramModel:
        """The model of a lower order, which is within this one: nothing is counted again."""
        if not 1 <= order <= self.order:
            raise ValueError(f"order {order} is not within order {self.order}")
        model = copy(self)
        model.order, model._levels = order, self._levels[:order]
        return model

    def _contexts(self, row: Tokens, length: int) -> Tokens:
        """The code of the `length` tokens before each place of a row, and behind its last one."""
        padded = np.concatenate([np.full(length, self.end_of_text), row])
        codes = np.zeros(len(row) + 1, dtype=np.int64)
        for start in range(length):
            codes = codes * self.vocabulary + padded[start : start + len(row) + 1]
        return codes

    def _count(self, tokens: Tokens, place: Tokens, length: int) -> _Level:
        """Count tokens behind so many others; `place` is where each stands in its document."""
        codes = np.zeros(len(tokens), dtype=np.int64)
        for back in range(length, -1, -1):
            codes *= self.vocabulary
            codes += np.where(place >= back, np.roll(tokens, back), self.end_of_text)
        keys, counts = np.unique(codes, return_counts=True)
        contexts, starts, types = np.unique(
            keys // self.vocabulary, return_index=True, return_counts=True
        )
        once, twice = int(np.sum(counts == 1)), int(np.sum(counts == 2))
        discount = min(0.95, max(0.05, once / max(1, once + 2 * twice)))
        totals = np.add.reduceat(counts, starts).astype(np.float64)
        shares = (counts - discount) / np.repeat(totals, types)
        return _Level(
            contexts=contexts,
            starts=np.append(starts, len(keys)),
            keys=keys,
            shares=shares,
            cumulative=np.concatenate([[0.0], np.cumsum(shares)]),
            left=discount * types / totals,
        )

    def probabilities(self, context: Sequence[int]) -> Floats:
        """(vocabulary,) the distribution of the token behind a context, which begins a document."""
        row = np.asarray(context, dtype=np.int64)
        tokens = np.arange(self.vocabulary)
        codes = [np.repeat(self._contexts(row, k)[-1], len(tokens)) for k in range(self.order)]
        return self._interpolate(codes, tokens)

    def nll(self, document: Sequence[int]) -> float:
        """-log p of a document's tokens, nats; count its end-of-text by ending it with one."""
        row = np.asarray(document, dtype=np.int64)
        codes = [self._contexts(row, length)[:-1] for length in range(self.order)]
        return float(-np.log(self._interpolate(codes, row)).sum())

    def _interpolate(self, codes: list[Tokens], tokens: Tokens) -> Floats:
        probability = np.isin(tokens, self._possible) / len(self._possible)
        for level, code in zip(self._levels, codes, strict=True):
            place, seen = _find(level.contexts, code)
            entry, counted = _find(level.keys, code * self.vocabulary + tokens)
            share = np.where(counted, level.shares[entry], 0.0)
            mixed = share + level.left[place] * probability
            probability = np.where(seen, mixed, probability)
        return probability

    def sample(
        self, prompts: Sequence[Sequence[int]], max_tokens: int, seed: int = 0
    ) -> list[list[int]]:
        """Continue every prompt (an empty one begins a document) until end-of-text.

        Returns:
            the new tokens of each, at most `max_tokens`; the last is end-of-text where it ended.
            The sample of a prompt depends on its place and the seed, not on the other prompts.
        """
        count, memory = len(prompts), self.order - 1
        if count == 0:
            return []
        uniform = np.stack([keyed_rng("ngram", seed, i).random(max_tokens) for i in range(count)])
        grid = np.full((count, memory + max_tokens), self.end_of_text, dtype=np.int64)
        for row, prompt in zip(grid, prompts, strict=True):
            tail = list(prompt)[-memory:] if memory else []
            row[memory - len(tail) : memory] = tail
        lengths = np.full(count, max_tokens)
        alive = np.arange(count)
        for step in range(max_tokens):
            now = memory + step
            drawn = self._draw(grid[alive, now - memory : now], uniform[alive, step])
            grid[alive, now] = drawn
            lengths[alive[drawn == self.end_of_text]] = step + 1
            alive = alive[drawn != self.end_of_text]
        return [
            row[memory : memory + length].tolist()
            for row, length in zip(grid, lengths, strict=True)
        ]

    def _draw(self, history: Tokens, uniform: Floats) -> Tokens:
        """One token a row, by inverting the cumulative distribution level after level."""
        drawn = np.full(len(history), -1, dtype=np.int64)
        uniform = uniform.copy()
        for length in range(self.order - 1, -1, -1):
            level = self._levels[length]
            code = np.zeros(len(history), dtype=np.int64)
            for column in history.T[self.order - 1 - length :]:
                code = code * self.vocabulary + column
            place, seen = _find(level.contexts, code)
            open_ = (drawn < 0) & seen
            own_share = 1 - level.left[place]
            here = open_ & (uniform < own_share)
            at = np.searchsorted(level.cumulative, level.cumulative[level.starts[place]] + uniform)
            entry = np.clip(at - 1, level.starts[place], level.starts[place + 1] - 1)
            drawn = np.where(here, level.keys[entry] % self.vocabulary, drawn)
            # What was not taken here is uniform again once rescaled: one draw serves every level.
            rest = (uniform - own_share) / level.left[place]
            uniform = np.where(open_ & ~here, np.clip(rest, 0.0, 1.0), uniform)
        anything = (uniform * len(self._possible)).astype(np.int64)
        anything = self._possible[np.minimum(anything, len(self._possible) - 1)]
        return np.where(drawn < 0, anything, drawn)


def _find(values: Tokens, keys: Tokens) -> tuple[Tokens, NDArray[np.bool_]]:
    """Where each wanted value stands in sorted values, and whether it does."""
    place = np.minimum(np.searchsorted(values, keys), len(values) - 1)
    return place, values[place] == keys
