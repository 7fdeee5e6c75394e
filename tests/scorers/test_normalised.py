"""Texts as scorers compare them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colaflex.scorers.normalised import first_word, normalised, similarity


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  Hello,   World! ", "hello world"),
        ("snake_case stays", "snake_case stays"),
        ("_", "_"),
        ("don't", "dont"),
        ("well-known\tfacts\n", "wellknown facts"),
        ("Ünïcode “quotes”", "ünïcode quotes"),
        ("- 5", "5"),
        ("...", ""),
        ("", ""),
    ],
)
def test_normalised(text: str, expected: str) -> None:
    assert normalised(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [(" Gabriel. He", "gabriel"), ("“Gabriel,” said", "gabriel"), ("-- so", "so"), ("!", "")],
)
def test_first_word(text: str, expected: str) -> None:
    assert first_word(text) == expected


@given(st.text())
def test_normalising_again_changes_nothing(text: str) -> None:
    once = normalised(text)
    # Lower case of a few letters is longer than they are; what is lower already stays.
    assert normalised(once) == once
    assert once == once.strip() and "  " not in once


def test_two_empty_texts_are_alike() -> None:
    assert similarity("", "") == 1.0
    assert similarity("abc", "") == 0.0
    # 2 · 3 / 7: "abc" of three and four letters.
    assert similarity("abc", "abcd") == pytest.approx(6 / 7)
