"""Which split a document is in: the same for all its copies."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

import pytest

from colaflex.corpora.by_content import ByContentConfig, folded

COPIES = [
    lambda text: text + "\n",
    lambda text: "\n\n" + text,
    lambda text: f"  {text}\t ",
    lambda text: text.replace("\n", "\r\n"),
    lambda text: text.replace("\n", "\r"),
    lambda text: text.replace("\n", "\u2028"),
    lambda text: text.replace(" ", "  "),
    lambda text: text.replace(" ", "\u00a0"),
    lambda text: "\ufeff" + text,
    lambda text: text.replace("story", "sto\u00adry"),
    lambda text: text.replace("a", "a\u200b"),
    lambda text: unicodedata.normalize("NFD", text),
    lambda text: text.replace("fi", "\ufb01"),
    lambda text: text.upper(),
]


@pytest.mark.parametrize("copied", COPIES)
def test_a_copy_is_in_the_split_of_its_original(copied: Callable[[str], str]):
    config = ByContentConfig(type="any", validation=0.2, test=0.2, judge=0.2)
    for number in range(60):
        text = f"A story of number {number},\nits first café and its finest."
        assert config.split_of(copied(text)) == config.split_of(text)


def test_other_texts_are_others():
    assert len({folded(text) for text in ("a b", "ab", "a, b", "a-b", "á b", "a + b")}) == 6


def test_a_long_copy_goes_with_its_original_wherever_both_are_cut():
    config = ByContentConfig(type="any", max_document_characters=1000)
    for number in range(40):
        text = " ".join(f"{number} word {i}" for i in range(300))
        wide = "\n\n" + text.replace(" ", "  ") + "\n"
        assert config.split_of(wide[:1000]) == config.split_of(text[:1000]) == config.split_of(text)
