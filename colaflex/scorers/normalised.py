"""Texts as scorers compare them."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

__all__ = ["first_word", "normalised", "similarity"]

PUNCTUATION = re.compile(r"[^\w\s]")


def normalised(text: str) -> str:
    """A text in lower case, without punctuation (`_` is none), words one space apart."""
    return " ".join(PUNCTUATION.sub("", text.lower()).split())


def first_word(text: str) -> str:
    """The first word of a text, normalised; "" where there is none."""
    return normalised(text).partition(" ")[0]


def similarity(answer: str, option: str) -> float:
    """How alike two normalised texts are, from 0 to 1 (Ratcliff and Obershelp); 1 for two empty."""
    return SequenceMatcher(None, answer, option).ratio()
