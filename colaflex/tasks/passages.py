"""Passages of held-out text: their words and sentences, and the items that they give."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain, islice

from colaflex.errors import UserError
from colaflex.interfaces.task_item import TaskItem

__all__ = ["first_items", "sentences_of", "words_of"]

WORD = re.compile(r"\S+")


def first_items(items: Iterator[TaskItem], most: int, otherwise: str) -> Iterator[TaskItem]:
    """The first items of a task; raises UserError, which says so of the task, where it has none."""
    first = next(items, None)
    if first is None:
        raise UserError(f"the task {otherwise}")
    return islice(chain([first], items), most)


def words_of(text: str) -> list[re.Match[str]]:
    """The words of a text, what stands between white space, each with its place."""
    return list(WORD.finditer(text))


def sentences_of(text: str) -> Sequence[str]:
    """The sentences of a text, which join to it with one space between; by their full stops."""
    words, sentences, start = words_of(text), [], 0
    for index, word in enumerate(words):
        if word[0].rstrip("\"'”’)]").endswith((".", "!", "?")) or index == len(words) - 1:
            sentences.append(" ".join(each[0] for each in words[start : index + 1]))
            start = index + 1
    return sentences
