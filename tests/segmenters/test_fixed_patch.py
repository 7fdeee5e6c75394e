"""Fixed patches: a partition of each row, aligned with the prompt, blind to what comes later."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import colaflex
from colaflex.interfaces.values import TokenBatch


@st.composite
def rows(draw: Any) -> tuple[int, TokenBatch]:
    """A patch size, and rows of any length with boundaries forced anywhere."""
    size = draw(st.integers(1, 5))
    lengths = draw(st.lists(st.integers(0, 17), min_size=1, max_size=4))
    width = max(lengths) + draw(st.integers(0, 4))
    forced = None
    if draw(st.booleans()):
        flags = st.lists(st.booleans(), min_size=width, max_size=width)
        forced = torch.tensor([draw(flags) for _ in lengths], dtype=torch.bool)
        forced = forced.view(len(lengths), width)
    tokens = torch.arange(len(lengths) * width).view(len(lengths), width)
    complete = torch.zeros(len(lengths), dtype=torch.bool)
    return size, TokenBatch(tokens, torch.tensor(lengths), complete, forced)


def segment(size: int, batch: TokenBatch) -> Any:
    return colaflex.build("segmenter", "fixed_patch", size=size).segment(batch)


def spans(size: int, batch: TokenBatch, row: int) -> list[list[int]]:
    """The positions of each segment of a row, by the definition."""
    found: list[list[int]] = []
    for i in range(int(batch.lengths[row])):
        begins = batch.forced is not None and bool(batch.forced[row, i])
        if not found or begins or len(found[-1]) == size:
            found.append([])
        found[-1].append(i)
    return found


@settings(deadline=None, max_examples=150)
@given(rows())
def test_every_counted_token_is_in_one_segment_as_defined(case: Any) -> None:
    size, batch = case
    segmentation = segment(size, batch)
    grid, held = segmentation.slots(batch.tokens, size) if batch.tokens.shape[1] else (None, None)
    for row, length in enumerate(batch.lengths.tolist()):
        expected = spans(size, batch, row)
        lengths = segmentation.lengths[row]
        assert lengths[lengths > 0].tolist() == [len(span) for span in expected]
        assert int(segmentation.count[row]) == len(expected)
        assert segmentation.mask[row].tolist() == [
            i < len(expected) for i in range(len(segmentation.mask[row]))
        ]
        if grid is not None:
            tokens = [grid[row, i][held[row, i]].tolist() for i in range(len(expected))]
            assert tokens == [batch.tokens[row, span].tolist() for span in expected]
            assert int(held[row].sum()) == length


@settings(deadline=None, max_examples=100)
@given(rows(), st.integers(0, 17))
def test_a_boundary_depends_on_tokens_up_to_it_only(case: Any, cut: int) -> None:
    size, batch = case
    forced = None if batch.forced is None else batch.forced[:, :cut]
    lengths = batch.lengths.clamp(max=cut)
    short = segment(size, TokenBatch(batch.tokens[:, :cut], lengths, batch.complete, forced))
    whole = segment(size, batch)
    for row in range(len(batch.lengths)):
        ends = whole.lengths[row].cumsum(0)
        kept = short.lengths[row][short.lengths[row] > 0]
        before = int((ends <= int(lengths[row])).sum()) if len(ends) else 0
        before = min(before, len(kept))
        # Whole segments are the same; only the last one may be cut.
        assert kept[:before].tolist() == whole.lengths[row, :before].tolist()
        starts = (kept.cumsum(0) - kept).tolist()
        assert starts == (ends - whole.lengths[row]).tolist()[: len(starts)]


@settings(deadline=None, max_examples=100)
@given(rows(), st.integers(1, 6))
def test_padding_and_neighbours_never_matter(case: Any, extra: int) -> None:
    size, batch = case
    together = segment(size, batch)
    for row, length in enumerate(batch.lengths.tolist()):
        filler = torch.full((1, extra), 10_000)
        tokens = torch.cat([batch.tokens[row : row + 1, :length], filler], 1)
        forced = None
        if batch.forced is not None:
            forced = torch.cat([batch.forced[row : row + 1, :length], filler > 0], 1)
        one = batch.lengths[row : row + 1]
        alone = segment(size, TokenBatch(tokens, one, batch.complete[:1], forced))
        lengths = together.lengths[row]
        assert alone.lengths[0].tolist() == lengths[lengths > 0].tolist()


def test_no_segment_straddles_the_end_of_a_prompt() -> None:
    forced = torch.zeros(1, 9, dtype=torch.bool)
    forced[0, 5] = True
    batch = TokenBatch(torch.arange(9)[None], torch.tensor([9]), torch.tensor([True]), forced)
    assert segment(2, batch).lengths.tolist() == [[2, 2, 1, 2, 2]]


def test_the_config_says_how_long_a_segment_is() -> None:
    config = colaflex.build("segmenter", "fixed_patch", size=4)
    assert config.size == 4
    from colaflex.segmenters.configs import FixedPatchConfig

    assert FixedPatchConfig(size=7).capabilities().max_segment_tokens == 7
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        FixedPatchConfig(size=0)


def test_patches_that_are_not_aligned_stay_on_their_grid() -> None:
    tokens = torch.arange(7)[None]
    forced = torch.zeros(1, 7, dtype=torch.bool)
    forced[0, 3] = True
    batch = TokenBatch(tokens, torch.tensor([7]), torch.tensor([True]), forced)
    aligned = colaflex.build("segmenter", "fixed_patch", size=2)
    assert aligned.segment(batch).lengths.tolist() == [[2, 1, 2, 2]]
    fixed = colaflex.build("segmenter", "fixed_patch", size=2, align_prompts=False)
    assert fixed.segment(batch).lengths.tolist() == [[2, 2, 2, 1]]
    assert (
        not colaflex.host.registry.registry()
        .config("segmenter", {"type": "fixed_patch", "align_prompts": False})
        .capabilities()
        .aligned
    )
