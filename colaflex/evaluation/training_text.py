"""What the training text contains: its words, its word bigrams and its longer n-grams."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from colaflex.interfaces.metric import Measurement
from colaflex.intervals import proportion

__all__ = ["TrainingText"]

Codes = NDArray[np.uint64]
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(32)


class TrainingText:
    """An index of the words and word n-grams of the text a model was trained on.

    Holds eight bytes for each distinct bigram and n-gram. N-grams are compared by 64-bit hashes: in
    a billion of them, one unknown n-gram is taken for known with probability below 1e-9.

    Attributes:
        n: words of the n-grams that count as copied.
    """

    def __init__(self, documents: Iterable[Sequence[str]], n: int = 8) -> None:
        """Index documents, each a sequence of words (`words.split_words`)."""
        self.n = n
        self._ids: dict[str, int] = {}
        encoded = [
            np.array([self._ids.setdefault(w, len(self._ids) + 1) for w in words], dtype=np.uint64)
            for words in documents
        ]
        self._bigrams = _distinct(_hashes(ids, 2) for ids in encoded)
        self._ngrams = _distinct(_hashes(ids, n) for ids in encoded)

    def known(self, words: Sequence[str]) -> dict[str, tuple[int, int]]:
        """How much of a text the training text contains.

        Returns:
            found and total, of `known_words`, `known_bigrams` and `copying` (n-grams).
        """
        ids = np.array([self._ids.get(word, 0) for word in words], dtype=np.uint64)
        return {
            "known_words": (int(np.count_nonzero(ids)), len(ids)),
            "known_bigrams": self._found(ids, 2, self._bigrams),
            "copying": self._found(ids, self.n, self._ngrams),
        }

    def shares(self, documents: Sequence[Sequence[str]]) -> dict[str, Measurement]:
        """The shares of words, bigrams and n-grams that stand in the training text."""
        rows = [self.known(words) for words in documents]
        return {
            name: proportion([row[name][0] for row in rows], [row[name][1] for row in rows])
            for name in ("known_words", "known_bigrams", "copying")
        }

    @staticmethod
    def _found(ids: Codes, n: int, known: Codes) -> tuple[int, int]:
        hashes = _hashes(ids, n)
        if len(known) == 0 or len(hashes) == 0:
            return 0, len(hashes)
        # The hash does not mark unknown words; an n-gram with one is never in the training text.
        whole = np.lib.stride_tricks.sliding_window_view(ids, n).all(1)
        place = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
        return int(np.count_nonzero((known[place] == hashes) & whole)), len(hashes)


def _hashes(ids: Codes, n: int) -> Codes:
    """(words - n + 1,) hashes of the n-grams; the multiply-and-fold of one word after another."""
    count = max(0, len(ids) - n + 1)
    hashed = np.zeros(count, dtype=np.uint64)
    for start in range(n):
        hashed = (hashed ^ ids[start : start + count]) * _MULTIPLIER
        hashed ^= hashed >> _SHIFT
    return hashed


def _distinct(parts: Iterable[Codes]) -> Codes:
    return np.unique(np.concatenate([np.zeros(0, dtype=np.uint64), *parts]))
