"""Whether a tokenizer writes texts so that they come back as they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from colaflex.corpora.tokenizer import Tokenizer
from colaflex.interfaces.corpus import Corpus, Split

__all__ = ["LOSSY", "Spelling", "spelling"]

LOSSY = "the tokenizer can't write all of the measured texts as they are"
"""Why a figure per byte is left out: the tokens say less than the bytes."""

AT_ONCE = 64
SHOWN = 30  # characters


@dataclass(frozen=True)
class Spelling:
    """What becomes of documents when they are written as tokens and decoded again.

    Attributes:
        exact: (documents,) whether each comes back as it is.
        example: of the first that doesn't, the place where it changes, and what comes back there.
    """

    exact: NDArray[np.bool_]
    example: tuple[str, str] = ("", "")

    @property
    def warning(self) -> str | None:
        """A warning about a tokenizer that loses something; None where it doesn't."""
        lost = int(np.count_nonzero(~self.exact))
        if not lost:
            return None
        text, back = self.example
        return (
            f"warning: the tokenizer can't write {lost} of {len(self.exact)} held-out documents as "
            f"they are, {text!r} comes back as {back!r}; figures per byte are left out, and all "
            "others are of the texts as it writes them"
        )


def spelling(corpus: Corpus, tokenizer: Tokenizer, split: Split, count: int) -> Spelling:
    """Write the first so many documents of a split and decode them.

    The corpus is read as far as that takes, or not at all where the tokenizer can't lose anything.
    """
    if tokenizer.exact:
        return Spelling(np.ones(count, dtype=np.bool_))
    documents = (d.text for d in corpus.documents() if d.split == split and d.text)
    exact, example = [], ("", "")
    for text, back in _written(islice(documents, count), tokenizer):
        exact.append(text == back)
        if not exact[-1] and example == ("", ""):
            example = _around(text, back)
    return Spelling(np.array(exact, dtype=np.bool_), example)


def _written(texts: Iterator[str], tokenizer: Tokenizer) -> Iterator[tuple[str, str]]:
    while some := list(islice(texts, AT_ONCE)):
        back = tokenizer.decode_batch(tokenizer.encode_batch(some))
        yield from zip(some, back, strict=True)


def _around(text: str, back: str) -> tuple[str, str]:
    pairs = enumerate(zip(text, back, strict=False))
    at = next((i for i, (one, other) in pairs if one != other), min(len(text), len(back)))
    start = max(0, at - SHOWN // 3)
    return text[start : start + SHOWN], back[start : start + SHOWN]
