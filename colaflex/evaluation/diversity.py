"""Diversity of texts: distinct n-grams, entropy of words, repetition within a text.

Documents are sequences of words (`words.split_words`), or of any hashable items. Distinct-n and
entropy depend on the number of words; compare collections of equal size (`words.equal_size`).
Their intervals come from the jackknife: a bootstrap draws documents twice, which would lower both.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from colaflex.interfaces.metric import Measurement
from colaflex.statistics.intervals import jackknife, mean, proportion

__all__ = [
    "distinct_documents",
    "distinct_ngrams",
    "longest_repeat",
    "repeated_ngrams",
    "repetition",
    "unigram_entropy",
]

Documents = Sequence[Sequence[Hashable]]


def distinct_documents(texts: Sequence[str]) -> Measurement:
    """Different texts over all texts; compare collections of equal size."""
    counts = Counter(texts)
    different, total = len(counts), len(texts)
    if total < 2:
        return jackknife(1.0, [1.0] * total)
    left = [(different - (counts[text] == 1)) / (total - 1) for text in texts]
    return jackknife(different / total, left, lowest=0.0, highest=1.0)


def distinct_ngrams(documents: Documents, n: int) -> Measurement:
    """Distinct-n: different n-grams over all n-grams of the collection."""
    ids, owners = _ngram_ids(documents, n)
    if len(ids) == 0:
        return jackknife(math.nan, [])
    sizes = np.bincount(owners, minlength=len(documents))
    pairs = np.unique(np.stack([ids, owners]), axis=1)
    holders = np.bincount(pairs[0])
    alone = np.bincount(pairs[1][holders[pairs[0]] == 1], minlength=len(documents))
    different, total = len(holders), len(ids)
    if sizes.max() == total:  # one document holds all there is
        return jackknife(different / total, [different / total])
    left = (different - alone) / (total - sizes)
    return jackknife(different / total, left[sizes > 0], lowest=0.0, highest=1.0)


def unigram_entropy(documents: Documents) -> Measurement:
    """Plug-in entropy of the words of the collection, in nats.

    The estimate is biased down by about (types - 1) / (2 · words); at equal size, collections of
    like vocabulary are biased alike.
    """
    ids, owners = _ngram_ids(documents, 1)
    if len(ids) == 0:
        return jackknife(math.nan, [])
    counts, total = np.bincount(ids), len(ids)
    weighted = float(_xlogx(counts).sum())
    value = math.log(total) - weighted / total
    sizes = np.bincount(owners, minlength=len(documents))
    if sizes.max() == total:
        return jackknife(value, [value])
    pairs, own = np.unique(np.stack([ids, owners]), axis=1, return_counts=True)
    totals = counts[pairs[0]]
    change = _xlogx(totals) - _xlogx(totals - own)
    removed = np.bincount(pairs[1], weights=change, minlength=len(documents))
    rest = total - sizes
    left = np.log(rest) - (weighted - removed) / rest
    return jackknife(value, left[sizes > 0], lowest=0.0)


def repeated_ngrams(document: Sequence[Hashable], n: int = 4) -> tuple[int, int]:
    """How many n-grams of a document stood in it before, and how many there are."""
    grams = _ngrams(document, n)
    return len(grams) - len(set(grams)), len(grams)


def longest_repeat(document: Sequence[Hashable]) -> int:
    """Length of the longest sequence that occurs at two places of a document, which may overlap."""
    low, high = 0, max(0, len(document) - 1)
    while low < high:  # a repeat of length k contains repeats of every smaller length
        middle = (low + high + 1) // 2
        if repeated_ngrams(document, middle)[0]:
            low = middle
        else:
            high = middle - 1
    return low


def repetition(documents: Documents, n: int = 4, resamples: int = 1000) -> dict[str, Measurement]:
    """Repetition within documents.

    Returns:
        `repetition`: share of n-grams that stood earlier in the same document;
        `longest_repeat`: mean length in words of the longest sequence that occurs twice in one.
    """
    counts = [repeated_ngrams(document, n) for document in documents]
    longest = [longest_repeat(document) for document in documents]
    return {
        "repetition": proportion([c[0] for c in counts], [c[1] for c in counts]),
        "longest_repeat": mean(longest, "longest_repeat", resamples=resamples),
    }


def _ngrams(document: Sequence[Hashable], n: int) -> list[tuple[Hashable, ...]]:
    return list(zip(*(document[start:] for start in range(n)), strict=False))


def _ngram_ids(documents: Documents, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(n-grams,) an id of every n-gram, equal ones alike, and the document it stands in."""
    known: dict[tuple[Hashable, ...], int] = {}
    ids: list[int] = []
    sizes: list[int] = []
    for document in documents:
        grams = _ngrams(document, n)
        ids.extend(known.setdefault(gram, len(known)) for gram in grams)
        sizes.append(len(grams))
    return np.array(ids, dtype=np.int64), np.repeat(np.arange(len(sizes)), sizes)


def _xlogx(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray(counts * np.log(np.maximum(counts, 1)), dtype=np.float64)
