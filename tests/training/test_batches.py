"""Rows, order and batches: every token once, little padding, any number of processes."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from colaflex.corpora.token_index import Data, SplitIndex, TokenIndex, prepare_data
from colaflex.corpora.worlds import Worlds
from colaflex.corpora.worlds_process import WorldsConfig
from colaflex.errors import UserError
from colaflex.training.batches import Rows, TrainingBatches, TrainingOrder, evaluation_batches

END = 0


def split_of(lengths: list[int]) -> SplitIndex:
    """Documents of numbered tokens (lengths count the end-of-text, token 0)."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    tokens = np.arange(1, offsets[-1] + 1, dtype=np.uint32)
    tokens[offsets[1:] - 1] = END
    return SplitIndex(tokens, offsets, np.array(lengths, np.int64))


def index_of(lengths: list[int]) -> TokenIndex:
    split = split_of(lengths)
    return TokenIndex({"train": split, "test": split}, END, "digest")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    config = WorldsConfig(documents=5000, validation_documents=50)
    return prepare_data(Worlds(config), 300, cache=tmp_path_factory.mktemp("cache"))


@given(st.lists(st.integers(1, 200), min_size=1, max_size=20), st.integers(1, 40))
def test_windows_partition_every_document(lengths: list[int], max_tokens: int):
    split = split_of(lengths)
    rows = Rows.of(split, max_tokens)
    assert rows.lengths.min() >= 1 and rows.lengths.max() <= max_tokens
    seen = np.concatenate(
        [split.tokens[a : a + n] for a, n in zip(rows.starts, rows.lengths, strict=True)]
    )
    assert seen.tolist() == split.tokens.tolist()
    assert rows.documents.tolist() == sorted(rows.documents.tolist())
    assert rows.complete.sum() == len(lengths)
    ends = split.tokens[rows.starts + rows.lengths - 1] == END
    assert ends.tolist() == rows.complete.tolist()
    assert np.bincount(rows.documents).tolist() == [-(-n // max_tokens) for n in lengths]


@pytest.mark.parametrize("max_tokens", [64, 128, 200])
def test_no_window_of_a_long_document_is_tiny(max_tokens: int):
    for length in range(max_tokens + 1, 5 * max_tokens):
        rows = Rows.of(split_of([length]), max_tokens)
        assert rows.lengths.min() >= max_tokens // 2 - max_tokens // 8
        assert all(n % 8 == 0 for n in rows.lengths[:-1])


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=300),
    st.integers(1, 16),
    st.integers(0, 2**31),
    st.integers(0, 5),
)
def test_an_epoch_has_every_row_once(lengths: list[int], size: int, seed: int, epoch: int):
    if len(lengths) < size:
        size = len(lengths)
    order = TrainingOrder(np.array(lengths), size, seed)
    first = epoch * order.steps_per_epoch
    steps = [order.rows(first + i) for i in range(order.steps_per_epoch)]
    rows = np.concatenate(steps).tolist()
    assert len(rows) == len(set(rows)) == len(lengths) - len(lengths) % size
    assert set(rows) <= set(range(len(lengths)))
    # A pure function of seed and step: another object asked for one step alone agrees.
    alone = TrainingOrder(np.array(lengths), size, seed).rows(first + order.steps_per_epoch // 2)
    assert alone.tolist() == steps[order.steps_per_epoch // 2].tolist()


def test_epochs_differ_and_drop_different_rows():
    order = TrainingOrder(np.full(103, 5), 10, seed=3)
    epochs = [
        np.concatenate([order.rows(10 * e + i) for i in range(10)]).tolist() for e in range(20)
    ]
    assert len({tuple(rows) for rows in epochs}) == 20
    assert set().union(*epochs) == set(range(103))
    other = TrainingOrder(np.full(103, 5), 10, seed=4)
    assert other.rows(0).tolist() != order.rows(0).tolist()


def test_rows_of_like_length_come_together_and_batches_in_random_order():
    lengths = np.random.default_rng(0).integers(8, 256, 20_000)
    order = TrainingOrder(lengths, 32, seed=0)
    widths, padding = [], []
    for step in range(order.steps_per_epoch):
        chosen = lengths[order.rows(step)]
        widths.append(chosen.max())
        padding.append(1 - chosen.sum() / (chosen.max() * 32))
    assert np.mean(padding) < 0.03
    assert abs(np.corrcoef(widths[:-1], widths[1:])[0, 1]) < 0.15
    half = [lengths[order.rows(step)][:16].mean() for step in range(order.steps_per_epoch)]
    rest = [lengths[order.rows(step)][16:].mean() for step in range(order.steps_per_epoch)]
    assert np.mean(half) == pytest.approx(np.mean(rest), rel=0.01)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 50), min_size=12, max_size=60), st.integers(0, 30))
def test_a_batch_is_as_wide_as_its_widest_row(lengths: list[int], step: int):
    whole = TrainingBatches(index_of(lengths), 20, 12, seed=1).batch(step)
    assert whole.tokens.shape == (12, int(whole.lengths.max()))
    assert whole.tokens.dtype == whole.lengths.dtype == torch.int64
    assert whole.complete.dtype == torch.bool
    assert torch.all(whole.tokens[~whole.mask] == END)
    assert torch.equal(
        (whole.tokens * whole.mask == END).sum(1) > 0, whole.complete | ~whole.mask.all(1)
    )


def test_fewer_rows_than_a_batch_are_refused():
    with pytest.raises(UserError, match="at most 3"):
        TrainingBatches(index_of([5, 5, 5]), 8, 4, seed=0)
    # A long document gives several rows.
    assert len(TrainingBatches(index_of([30, 5]), 8, 4, seed=0).table) == 5


def test_evaluation_reads_every_token_in_order(data: Data):
    split = data.index.split("validation")
    seen = [b.tokens[b.mask] for _, b in evaluation_batches(data.index, "validation", 24, 7)]
    assert torch.cat(seen).tolist() == split.tokens.tolist()
    numbers, some = zip(*evaluation_batches(data.index, "validation", 24, 7, limit=5), strict=True)
    counted = np.concatenate([b.mask.sum(1).numpy() for b in some])
    sizes = np.bincount(np.concatenate(numbers), weights=counted)
    assert sizes.tolist() == np.diff(split.offsets[:6]).tolist()
    assert sum(int(b.complete.sum()) for b in some) == 5
    assert (
        torch.cat([b.tokens[b.mask] for b in some]).tolist()
        == split.tokens[: split.offsets[5]].tolist()
    )


def test_an_evaluation_split_without_documents_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="no documents"):
        next(evaluation_batches(TokenIndex({"test": split_of([])}, END, ""), "test", 8, 4))


def test_rows_decode_to_their_documents(data: Data):
    batches = TrainingBatches(data.index, 512, 8, seed=0)
    batch = batches.batch(11)
    texts = [d.text for d in Worlds(WorldsConfig(documents=5000)).documents() if d.split == "train"]
    chosen = batches.table.documents[batches.order.rows(11)]
    for row, document in enumerate(chosen):
        assert batch.complete[row]
        length = int(batch.lengths[row])
        assert data.tokenizer.decode(batch.tokens[row, :length].tolist()) == texts[document]
        assert batch.tokens[row, length - 1] == data.index.end_of_text


def test_a_batch_takes_less_than_a_millisecond(data: Data):
    batches = TrainingBatches(data.index, 256, 64, seed=0)
    batches.batch(0)
    spent = []
    for step in range(1, 60):
        start = time.perf_counter()
        batches.batch(step)
        spent.append(time.perf_counter() - start)
    assert np.median(spent) < 1e-3
