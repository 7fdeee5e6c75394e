"""What the training text contains of other texts: their words, word bigrams and longer n-grams."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from colaflex.interfaces.metric import Measurement
from colaflex.statistics.intervals import proportion

__all__ = ["TrainingText"]

Codes = NDArray[np.uint64]
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(32)


class TrainingText:
    """Which words and word n-grams of given texts stand in the text a model was trained on.

    The training text is read once and not held: memory follows the given texts. N-grams are
    compared by 64-bit hashes: in a billion of them, one unknown n-gram is taken for known with
    probability below 1e-9.

    Attributes:
        n: words of the n-grams that count as copied.
    """

    def __init__(
        self, documents: Iterable[Sequence[str]], texts: Iterable[Sequence[str]], n: int = 8
    ) -> None:
        """Look for texts in documents, each a sequence of words (`words.split_words`)."""
        self.n = n
        self._ids: dict[str, int] = {}
        rows = [
            np.array([self._ids.setdefault(w, len(self._ids) + 1) for w in words], dtype=np.uint64)
            for words in texts
        ]
        self._words = np.zeros(len(self._ids) + 1, dtype=np.bool_)
        self._hashes = {size: _distinct(_hashes(ids, size) for ids in rows) for size in (2, n)}
        self._seen = {
            size: np.zeros(len(hashes), dtype=np.bool_) for size, hashes in self._hashes.items()
        }
        for words in documents:
            self._see(self._coded(words))

    def _coded(self, words: Sequence[str]) -> Codes:
        """(words,) the ids of words, 0 of one that was not asked for."""
        return np.array([self._ids.get(word, 0) for word in words], dtype=np.uint64)

    def _see(self, ids: Codes) -> None:
        self._words[ids] = True
        for size, hashes in self._hashes.items():
            place, known = _find(hashes, ids, size)
            self._seen[size][place[known]] = True

    def known(self, words: Sequence[str]) -> dict[str, tuple[int, int]]:
        """How much of one of the texts the training text contains.

        Returns:
            how many stand there and how many there are, of `known_words`, `known_bigrams` and
            `copying` (n-grams).
        """
        ids = self._coded(words)
        seen = self._words[ids] & (ids > 0)
        return {
            "known_words": (int(np.count_nonzero(seen)), len(ids)),
            "known_bigrams": self._count(ids, 2),
            "copying": self._count(ids, self.n),
        }

    def shares(self, documents: Sequence[Sequence[str]]) -> dict[str, Measurement]:
        """The shares of words, bigrams and n-grams that stand in the training text."""
        rows = [self.known(words) for words in documents]
        return {
            name: proportion([row[name][0] for row in rows], [row[name][1] for row in rows])
            for name in ("known_words", "known_bigrams", "copying")
        }

    def _count(self, ids: Codes, n: int) -> tuple[int, int]:
        place, known = _find(self._hashes[n], ids, n)
        seen = self._seen[n][place[known]]
        return int(np.count_nonzero(seen)), max(0, len(ids) - n + 1)


def _find(hashes: Codes, ids: Codes, n: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Where each n-gram of a row stands among sorted hashes, and whether it does."""
    own = _hashes(ids, n)
    if len(hashes) == 0 or len(own) == 0:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.bool_)
    # The hash does not mark unknown words; an n-gram with one is none that was asked for.
    whole = np.lib.stride_tricks.sliding_window_view(ids, n).all(1)
    place = np.minimum(np.searchsorted(hashes, own), len(hashes) - 1)
    return place, (hashes[place] == own) & whole


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
