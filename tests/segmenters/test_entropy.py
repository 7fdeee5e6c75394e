"""Segments by entropy: they find words, reach their rate, and look at nothing later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import colaflex
from colaflex.interfaces.values import TokenBatch, Vocabulary
from colaflex.spec import Spec

END, MASK, SIZE = 0, 1, 20
VOCABULARY = Vocabulary(SIZE, end_of_text=END, mask=MASK)
WORDS = [[2, 3, 4, 5], [6, 7, 8], [9, 10, 11, 12, 13], [14, 15], [16, 17, 18, 19]]
RATE = len(WORDS) / sum(map(len, WORDS))


def rows_of_words(seed: int, rows: int = 16, words: int = 8) -> tuple[TokenBatch, list[set[int]]]:
    """Words one behind the other without a space, and where they begin."""
    generator = torch.Generator().manual_seed(seed)
    tokens, begins = [], []
    for _ in range(rows):
        row: list[int] = []
        starts = set()
        for word in torch.randint(len(WORDS), (words,), generator=generator).tolist():
            starts.add(len(row))
            row += WORDS[word]
        tokens.append(row)
        begins.append(starts)
    lengths = torch.tensor([len(row) for row in tokens])
    padded = [[*row, *[END] * (int(lengths.max()) - len(row))] for row in tokens]
    complete = torch.zeros(rows, dtype=torch.bool)
    return TokenBatch(torch.tensor(padded), lengths, complete), begins


def starts_of(lengths: Tensor) -> set[int]:
    return {0, *(lengths[lengths > 0].cumsum(0)[:-1]).tolist()}


def f1(segmenter: Any, batch: TokenBatch, begins: list[set[int]]) -> float:
    found = [starts_of(row) for row in segmenter.segment(batch).lengths]
    hits = sum(len(a & b) for a, b in zip(found, begins, strict=True))
    return 2 * hits / (sum(map(len, found)) + sum(map(len, begins)))


@pytest.fixture(scope="module")
def trained() -> Any:
    torch.manual_seed(0)
    segmenter = colaflex.build(
        "segmenter", "entropy", vocabulary=VOCABULARY, rate=RATE, width=32, layers=1
    )
    optimizer = torch.optim.Adam(segmenter.parameters(), lr=4e-3)
    for step in range(150):
        batch, _ = rows_of_words(step)
        losses = segmenter.losses(batch, segmenter.segment(batch))
        total = sum(term.weight * term.total for term in losses.values())
        optimizer.zero_grad()
        (total / int(batch.lengths.sum())).backward()
        optimizer.step()
    return segmenter


def test_boundaries_are_those_of_words_at_the_target_rate(trained: Any) -> None:
    batch, begins = rows_of_words(10_000, rows=64)
    rate = int(trained.segment(batch).count.sum()) / int(batch.lengths.sum())
    assert rate == pytest.approx(RATE, rel=0.1)
    patches = colaflex.build("segmenter", "fixed_patch", size=round(1 / RATE))
    assert f1(trained, batch, begins) > 0.95  # a word's first token is the only one in doubt
    assert f1(patches, batch, begins) < 0.5


def test_a_boundary_depends_on_nothing_later(trained: Any) -> None:
    batch, _ = rows_of_words(20_000, rows=2)
    whole = starts_of(trained.segment(batch).lengths[0])
    for cut in range(1, int(batch.lengths[0]), 5):
        lengths = torch.tensor([cut])
        part = TokenBatch(batch.tokens[:1, :cut], lengths, torch.tensor([False]))
        assert starts_of(trained.segment(part).lengths[0]) == {s for s in whole if s < cut}


def test_rows_beside_change_nothing(trained: Any) -> None:
    batch, _ = rows_of_words(30_000, rows=4)
    together = trained.segment(batch).lengths
    for row in range(4):
        alone = trained.segment(batch.rows(slice(row, row + 1))).lengths[0]
        assert alone[alone > 0].tolist() == together[row][together[row] > 0].tolist()


def test_no_segment_is_longer_than_allowed_and_forced_ones_begin(trained: Any) -> None:
    batch, _ = rows_of_words(40_000, rows=3)
    forced = torch.zeros_like(batch.tokens, dtype=torch.bool)
    forced[:, 7] = True
    marked = TokenBatch(batch.tokens, batch.lengths, batch.complete, forced)
    lengths = trained.segment(marked).lengths
    assert int(lengths.max()) <= trained.config.max_tokens
    assert all(7 in starts_of(row) for row in lengths)


def test_it_trains_with_a_model_and_is_frozen_with_its_prior(tiny: Path, tmp_path: Path) -> None:
    entropy = {"type": "entropy", "max_tokens": 4, "width": 16, "layers": 1}
    spec = Spec.load(tiny).override({"segmenter": entropy})
    result = colaflex.run(spec, tmp_path / "run")
    assert result["parameters"]["segmenter"] > 0
    lines = (tmp_path / "run/metrics.jsonl").read_text()
    assert '"loss.next_token"' in lines
    assert '"loss.boundary_rate"' in lines
    model = colaflex.load(tmp_path / "run")
    alone = model.generate(["In the"], max_new_tokens=12, seed=1)[0]
    beside = model.generate(["And God said, Let", "In the"], max_new_tokens=12, seed=1)[1]
    assert alone == beside
