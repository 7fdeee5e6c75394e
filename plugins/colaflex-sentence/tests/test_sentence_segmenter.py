from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch

import colaflex
from colaflex.interfaces.values import TokenBatch, Vocabulary
from colaflex.testing import conformance_checks

pytest.importorskip("colaflex_sentence")

TEXT = (
    'He said, "Go!" Then (it was 3.16 miles.) they went... Who? Why?! Mr. Smith came.” “No,” '
    "said she. An end"
)
EXPECTED = [
    'He said, "Go!"',
    " Then (it was 3.16 miles.)",
    " they went...",
    " Who?",
    " Why?!",
    " Mr.",
    " Smith came.”",
    " “No,” said she.",
    " An end",
]


@pytest.mark.parametrize("check", conformance_checks("segmenter", "sentence"))
def test_conformance(check: Callable[[], None]) -> None:
    check()


def cut(pieces: list[str], forced: tuple[int, ...] = (), **options: int) -> list[str]:
    texts = ("<|endoftext|>", "<|mask|>", *sorted(set(pieces)))
    vocabulary = Vocabulary(len(texts), end_of_text=0, mask=1, texts=texts)
    tokens = torch.tensor([[texts.index(piece) for piece in pieces]])
    marks = torch.zeros_like(tokens, dtype=torch.bool)
    marks[0, list(forced)] = True
    batch = TokenBatch(tokens, torch.tensor([len(pieces)]), torch.tensor([True]), marks)
    segmenter = colaflex.build("segmenter", "sentence", vocabulary=vocabulary, **options)
    found, start = [], 0
    for length in segmenter.segment(batch).lengths[0].tolist():
        found.append("".join(pieces[start : start + length]))
        start += length
    return found


@pytest.mark.parametrize(
    "tokens",
    [r" ?\w+| ?[^\w\s]+", r" ?\w+| ?[^\w\s]", r" ?\w| ?[^\w\s]+"],
    ids=["words and runs of marks", "words and single marks", "letters"],
)
def test_segments_are_sentences_whatever_the_tokens(tokens: str) -> None:
    pieces = re.findall(tokens, TEXT)
    assert "".join(pieces) == TEXT
    assert cut(pieces) == EXPECTED


def test_longer_sentences_are_cut_and_counted_anew_from_the_next() -> None:
    pieces = ["a", " b", " c", " d", " e", ".", " f", " g", " h"]
    assert cut(pieces, max_tokens=4) == ["a b c d", " e.", " f g h"]


def test_a_segment_begins_where_one_is_forced_and_behind_a_text() -> None:
    pieces = ["a", " b", " c", "<|endoftext|>", "d", " e."]
    assert cut(pieces, forced=(1,)) == ["a", " b c<|endoftext|>", "d e."]
