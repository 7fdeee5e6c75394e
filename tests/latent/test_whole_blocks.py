"""What a prior learns from: rows of whole blocks, with boundaries as prompts force them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import END, VOCABULARY, rows, small_model, step_noise
from torch import Tensor

import colaflex
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.values import TokenBatch
from colaflex.latent.whole_blocks import learned_segments, whole_blocks, whole_variable_blocks


@st.composite
def batches(draw: Any) -> tuple[int, int, TokenBatch, Noise]:
    size, block = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    lengths = draw(st.lists(st.integers(1, 40), min_size=1, max_size=6))
    ends = draw(st.lists(st.booleans(), min_size=len(lengths), max_size=len(lengths)))
    batch = rows(lengths, ends, draw(st.integers(0, 45)))
    return size, block, batch, step_noise(batch, seed=draw(st.integers(0, 99)))


MODELS = {size: small_model(size=size) for size in range(1, 5)}


@settings(deadline=None, max_examples=200)
@given(batches())
def test_rows_are_completed_to_whole_blocks(case: Any) -> None:
    size, block, batch, noise = case
    model = MODELS[size]
    done = whole_blocks(batch, size, block, end_of_text=END, prompt_rows=0.25, noise=noise)
    width = done.tokens.shape[1]
    assert width % (size * block) == 0
    room = size * block if size > 1 else 0  # for the block that a forced boundary may add
    assert 0 <= width - batch.tokens.shape[1] - room < size * block
    segmentation = model.segment(done)
    # As many as the width holds, so that draws have the same shape however rows are split.
    assert segmentation.lengths.shape[1] == width // size
    for row, (length, new) in enumerate(
        zip(batch.lengths.tolist(), done.lengths.tolist(), strict=True)
    ):
        segments = int(segmentation.count[row])
        assert segments % block == 0
        assert int(segmentation.lengths[row].sum()) == new <= width
        kept = min(length, new)
        assert torch.equal(done.tokens[row, :kept], batch.tokens[row, :kept])
        assert (done.tokens[row, kept:] == END).all()
        boundaries = done.forced[row].nonzero().flatten().tolist()
        assert len(boundaries) <= 1
        short = [n for n in segmentation.lengths[row, :segments].tolist() if n < size]
        if batch.complete[row]:
            assert length <= new
            cut = model.segment(TokenBatch(*(x[row : row + 1] for x in alone(batch, done))))
            assert segments - int(cut.count[0]) < block  # no more end-of-text than it takes
            assert len(short) <= len(boundaries)
        else:
            assert new <= length < new + size * (block + 1)
            assert len(short) <= 2
        for at in boundaries:
            starts = (segmentation.lengths[row].cumsum(0) - segmentation.lengths[row]).tolist()
            assert at in starts[:segments] or at >= new
    assert torch.equal(done.complete, batch.complete)


def alone(batch: TokenBatch, done: TokenBatch) -> tuple[Tensor, ...]:
    """The rows as they were, with the boundaries that were forced."""
    room = done.tokens.shape[1] - batch.tokens.shape[1]
    tokens = torch.nn.functional.pad(batch.tokens, (0, room))
    assert done.forced is not None
    return tokens, batch.lengths, batch.complete, done.forced


@settings(deadline=None, max_examples=50)
@given(batches(), st.integers(0, 6))
def test_completion_does_not_depend_on_how_rows_are_split(case: Any, cut: int) -> None:
    size, block, batch, noise = case
    total = len(batch.lengths)
    whole = whole_blocks(batch, size, block, end_of_text=END, prompt_rows=0.25, noise=noise)
    for part in (slice(0, min(cut, total)), slice(min(cut, total), total)):
        if part.start == part.stop:
            continue
        own = Noise(noise.seed, noise.step, noise.scope, part.start, total)
        found = whole_blocks(
            batch.rows(part),
            size,
            block,
            end_of_text=END,
            prompt_rows=0.25,
            noise=own,
        )
        for name in ("tokens", "lengths", "complete", "forced"):
            assert torch.equal(getattr(found, name), getattr(whole, name)[part])


@pytest.mark.parametrize("complete", [True, False])
def test_boundaries_are_forced_in_a_quarter_of_the_rows(complete: bool) -> None:
    batch = rows([24 if not complete else 21] * 2000, complete, 24)
    done = whole_blocks(batch, 2, 4, end_of_text=END, prompt_rows=0.25, noise=step_noise(batch))
    share = done.forced.any(1).float().mean().item()
    assert abs(share - 0.25 * 20 / 21) < 0.05
    full = rows([24] * 2000, True)
    done = whole_blocks(full, 2, 4, end_of_text=END, prompt_rows=0.25, noise=step_noise(full))
    # An odd place makes a document that fills its row one block longer.
    longer = (done.lengths > 24).float().mean().item()
    assert abs(longer - 0.125) < 0.03


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("length", [22, 23, 24])
@torch.no_grad()
def test_a_document_that_fills_its_batch_is_learned_as_in_a_wider_one(
    size: int, length: int
) -> None:
    model, narrow = MODELS[size].double(), rows([length] * 60)
    filled = torch.nn.functional.pad(narrow.tokens, (0, 60 - length), value=END)
    wide = TokenBatch(filled, narrow.lengths, narrow.complete)
    found = []
    for batch in (narrow, wide):
        done = whole_blocks(
            batch,
            size,
            4,
            end_of_text=END,
            prompt_rows=0.0,
            noise=step_noise(batch),
        )
        segmentation = model.segment(done)
        targets, held = segmentation.slots(done.tokens, size)
        latents, mask = model.encode(done)[0].values, segmentation.mask
        found.append((done, targets[held], held.sum((1, 2)), latents[mask], mask.sum(1)))
    (one, *few), (_, *many) = found
    torch.testing.assert_close(few, many, atol=1e-9, rtol=0)
    assert one.mask[:, length - 1].all() and (one.tokens[:, length - 1] == END).all()


def test_a_segment_that_a_prompt_cuts_is_not_learned() -> None:
    forced = torch.zeros(4, 24, dtype=torch.bool)
    forced[0, 5] = forced[1, 6] = True
    batch = replace(rows([24, 24, 23, 9], [True, True, False, True], 24), forced=forced)
    segmentation = MODELS[2].segment(batch)
    learned = learned_segments(batch, segmentation)
    assert segmentation.lengths[0, 2] == 1 and segmentation.lengths[1, 2] == 2
    given = segmentation.mask & ~learned
    assert given.nonzero().tolist() == [[0, 2], [1, 2]]
    whole = learned_segments(replace(batch, forced=None), segmentation)
    assert torch.equal(whole, segmentation.mask)


@settings(deadline=None, max_examples=100)
@given(batches())
def test_segments_of_any_length_make_whole_blocks(case: Any) -> None:
    size, block, batch, noise = case
    words = ("", "", *(f" {'the' if i % 3 else 'word'}{'.' * (i % 4 == 0)}" for i in range(10)))
    vocabulary = replace(VOCABULARY, texts=words)
    segmenter = colaflex.build("segmenter", "phrase", vocabulary=vocabulary, max_tokens=size + 1)
    done = whole_variable_blocks(
        batch,
        size + 1,
        block,
        cut=segmenter.segment,
        device=torch.device("cpu"),
        end_of_text=END,
        prompt_rows=0.25,
        noise=noise,
    )
    cut = segmenter.segment(done)
    assert torch.equal(done.segments[:, : cut.lengths.shape[1]], cut.lengths)
    assert done.segments.shape[1] % block == 0
    width = batch.tokens.shape[1]
    forced = torch.nn.functional.pad(done.forced, (0, width))[:, :width]
    before = segmenter.segment(replace(batch, forced=forced))
    for row, length in enumerate(batch.lengths.tolist()):
        new, count = int(done.lengths[row]), int(cut.count[row])
        assert count % block == 0
        kept = min(length, new)
        assert torch.equal(done.tokens[row, :kept], batch.tokens[row, :kept])
        assert (done.tokens[row, kept:] == END).all()
        if batch.complete[row]:
            assert length <= new
            assert count - int(before.count[row]) < block
        else:
            # What a window ends with may be the half of a segment, and is not learned.
            assert new < length or not new
            ends = before.lengths[row].cumsum(0).tolist()
            assert new in (0, *ends)
