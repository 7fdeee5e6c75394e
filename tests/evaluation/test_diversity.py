from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import stdtrit

from colaflex.evaluation.diversity import (
    distinct_documents,
    distinct_ngrams,
    longest_repeat,
    repeated_ngrams,
    repetition,
    unigram_entropy,
)

documents_of_letters = st.lists(st.text("abc", max_size=12), min_size=2, max_size=6)


def grams(documents: list[str], n: int) -> list[str]:
    return [d[i : i + n] for d in documents for i in range(len(d) - n + 1)]


def brute_entropy(documents: list[str]) -> float:
    counts = np.array(list(Counter(grams(documents, 1)).values()))
    p = counts / counts.sum()
    return float(-(p * np.log(p)).sum())


def left_out(documents: list[str], statistic: Callable[[list[str]], float]) -> list[float]:
    used = [i for i, d in enumerate(documents) if d]
    return [statistic([d for j, d in enumerate(documents) if j != i]) for i in used]


@given(documents_of_letters, st.integers(1, 3))
def test_distinct_counts_types_over_tokens(documents: list[str], n: int):
    measured, found = distinct_ngrams(documents, n), grams(documents, n)
    if found:
        assert measured.value == pytest.approx(len(set(found)) / len(found))
        assert 0 < measured.value <= 1
    else:
        assert measured.n == 0


@given(documents_of_letters)
def test_entropy_and_its_deletions_match_a_direct_count(documents: list[str]):
    filled = [d for d in documents if d]
    if len(filled) < 2:
        return
    measured = unigram_entropy(documents)
    left = np.array(left_out(filled, brute_entropy))
    variance = (len(left) - 1) * np.var(left)
    assert measured.value == pytest.approx(brute_entropy(filled), abs=1e-9)
    assert measured.n == len(filled)

    half = stdtrit(len(left) - 1, 0.975) * math.sqrt(variance)
    assert measured.high - measured.value == pytest.approx(half, abs=1e-7)


@given(documents_of_letters)
def test_distinct_deletions_match_a_direct_count(documents: list[str]):
    filled = [d for d in documents if d]
    if len(filled) < 2:
        return
    left = np.array(left_out(filled, lambda d: len(set("".join(d))) / len("".join(d))))

    half = stdtrit(len(left) - 1, 0.975) * math.sqrt((len(left) - 1) * np.var(left))
    measured = distinct_ngrams(documents, 1)
    assert measured.high == pytest.approx(min(1.0, measured.value + half), abs=1e-7)


def test_uniform_words_have_log_v():
    assert unigram_entropy(["abcd", "abcd"]).value == pytest.approx(math.log(4))
    assert unigram_entropy(["aaaa"]).value == pytest.approx(0)
    assert math.isnan(unigram_entropy([]).value) and math.isnan(unigram_entropy([[]]).value)


def test_the_entropy_interval_covers_its_expectation():
    rng = np.random.default_rng(0)
    p = np.arange(1, 41) / np.arange(1, 41).sum()
    found = [unigram_entropy(rng.choice(40, (50, 20), p=p).tolist()) for _ in range(200)]
    expectation = np.mean([m.value for m in found])
    assert 0.9 <= np.mean([m.low <= expectation <= m.high for m in found]) <= 1


def test_repetition_within_documents_only():
    assert repeated_ngrams("abcdabcd", 4) == (1, 5)
    assert repeated_ngrams("abc", 4) == (0, 0)
    measured = repetition(["abcdabcd", "abcdefgh", "x"])
    assert measured["repetition"].value == pytest.approx(1 / 10)
    assert measured["repetition"].n == 2
    assert measured["longest_repeat"].value == pytest.approx((4 + 0 + 0) / 3)


@given(st.text("ab", max_size=14))
def test_longest_repeat_matches_a_direct_search(text: str):
    lengths = [
        size
        for size in range(len(text))
        if len({text[i : i + size] for i in range(len(text) - size + 1)}) < len(text) - size + 1
    ]
    assert longest_repeat(text) == max(lengths, default=0)


def test_different_documents_over_all() -> None:
    found = distinct_documents(["a", "b", "a", "c"])
    assert found.value == 3 / 4 and found.n == 4
    assert found.low <= 3 / 4 <= found.high <= 1
    same = distinct_documents(["a"] * 10)
    assert same.value == 1 / 10
    assert distinct_documents(list("abcde")).value == 1
    assert distinct_documents([]).n == 0
