"""How text is split into words, and how collections are brought to equal size."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

__all__ = ["clip_words", "equal_size", "split_words"]

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


def split_words(text: str) -> list[str]:
    """The words of a text: maximal runs of letters and digits, inner apostrophes kept, casefolded.

    Punctuation, underscores and white space separate words and count for nothing, so that "Lord's,"
    is "lord's" and "well-known" is two words. A curly apostrophe is read as a straight one.
    """
    return [word.replace("’", "'") for word in _WORD.findall(text.casefold())]


def clip_words(documents: Sequence[Sequence[str]], words: int) -> list[list[str]]:
    """The first documents that hold `words` words together, the last one cut to fit."""
    clipped: list[list[str]] = []
    for document in documents:
        if words <= 0:
            break
        clipped.append(list(document[:words]))
        words -= len(clipped[-1])
    return clipped


def equal_size(
    collections: Mapping[str, Sequence[Sequence[str]]],
) -> dict[str, list[list[str]]]:
    """Every collection clipped to the number of words of the smallest one that has any.

    Entropy, distinct-n and the like depend on how much text they see; compare them at equal size.
    """
    sizes = [sum(map(len, documents)) for documents in collections.values()]
    words = min((size for size in sizes if size > 0), default=0)
    return {name: clip_words(documents, words) for name, documents in collections.items()}
