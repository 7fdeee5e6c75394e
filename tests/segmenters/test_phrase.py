"""Phrases by rule: where they begin, and that nothing later is looked at."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import colaflex
from colaflex.interfaces.values import TokenBatch, Vocabulary
from colaflex.spec import Spec

TEXTS = ("", "In", " the", " beginning", " God", " made", " he", "aven", ".", ",", " and", " of")
END, MASK = 0, 8
VOCABULARY = Vocabulary(len(TEXTS), end_of_text=END, mask=MASK, texts=TEXTS)


def batch_of(*rows: list[int], forced: list[list[bool]] | None = None) -> TokenBatch:
    width = max(map(len, rows))
    tokens = torch.tensor([[*row, *[END] * (width - len(row))] for row in rows])
    lengths = torch.tensor([len(row) for row in rows])
    marks = None if forced is None else torch.tensor(forced, dtype=torch.bool)
    return TokenBatch(tokens, lengths, torch.ones_like(lengths, dtype=torch.bool), marks)


def phrases(batch: TokenBatch, **options: Any) -> list[list[str]]:
    """The segments of the first row, as texts."""
    segmenter = colaflex.build("segmenter", "phrase", vocabulary=VOCABULARY, **options)
    lengths = segmenter.segment(batch).lengths[0]
    parts = batch.tokens[0][: int(lengths.sum())].split(lengths[lengths > 0].tolist())
    return [[TEXTS[i] for i in part] for part in parts]


def ids(text: str) -> list[int]:
    return [TEXTS.index(word) for word in text.split("|")]


def test_segments_begin_at_function_words_and_behind_punctuation() -> None:
    row = ids("In| the| beginning|,| God| made| the| he|aven| and| of| the| God|.")
    assert phrases(batch_of([*row, END, END])) == [
        ["In", " the", " beginning", ","],
        [" God", " made"],
        [" the", " he", "aven"],
        [" and", " of", " the", " God", "."],
        [""],
        [""],
    ]


@pytest.mark.parametrize("most", [2, 3])
def test_no_segment_is_longer_than_allowed(most: int) -> None:
    row = ids(" God| God| God| God| God")
    assert [len(part) for part in phrases(batch_of(row), max_tokens=most)] == (
        [2, 2, 1] if most == 2 else [3, 2]
    )


def test_words_and_rules_are_options() -> None:
    row = ids(" God| made| God")
    assert phrases(batch_of(row), function_words="made") == [[" God"], [" made", " God"]]


token_rows = st.lists(st.integers(0, len(TEXTS) - 1), min_size=1, max_size=20)


@settings(max_examples=150)
@given(token_rows, st.integers(2, 6), st.data())
def test_a_boundary_depends_on_nothing_later(row: list[int], most: int, data: Any) -> None:
    marks = data.draw(st.lists(st.booleans(), min_size=len(row), max_size=len(row)))
    segmenter = colaflex.build("segmenter", "phrase", vocabulary=VOCABULARY, max_tokens=most)
    whole = segmenter.segment(batch_of(row, forced=[marks])).lengths[0]
    assert int(whole.sum()) == len(row)
    assert int(whole.max()) <= most
    starts = {0, *(whole.cumsum(0)[:-1]).tolist()}
    assert {i for i, mark in enumerate(marks) if mark} <= starts
    for cut in range(1, len(row)):
        part = segmenter.segment(batch_of(row[:cut], forced=[marks[:cut]])).lengths[0]
        inner = {0, *(part.cumsum(0)[:-1]).tolist()}
        assert inner == {start for start in starts if start < cut}


def test_phrases_train_generate_and_are_measured(tiny: Any, tmp_path: Any) -> None:
    spec = Spec.load(tiny).override({"segmenter": {"type": "phrase", "max_tokens": 4}})
    result = colaflex.run(spec, tmp_path / "run")
    assert 0 < result["metrics"]["reconstruction.token_accuracy"]["value"] <= 1
    assert "speed.network_evaluations_per_token" not in result["metrics"]
    model = colaflex.load(tmp_path / "run")
    alone = model.generate(["In the"], max_new_tokens=12, seed=1)[0]
    beside = model.generate(["And God said, Let", "In the"], max_new_tokens=12, seed=1)[1]
    assert alone == beside
