"""Rows of whole blocks: what a prior, which generates block by block, learns from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from colaflex.interfaces.levels import fine_lengths, fine_places, grouped, spread
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.values import Segmentation, TokenBatch
from colaflex.latent.model import LatentModel

__all__ = ["completed", "learned_segments", "whole_blocks", "whole_variable_blocks"]


def completed(
    model: LatentModel, batch: TokenBatch, block: int, cut: float, noise: Noise
) -> TokenBatch:
    """Rows of whole blocks as the model segments them.

    Args:
        model: whose segmenter and slots they are for.
        batch: rows as they were read.
        block: segments of a block, coarse ones included.
        cut: share of the rows in which a boundary is forced, where segments are aligned to one.
        noise: of the step.
    """

    def fine(rows: TokenBatch) -> Segmentation:
        return Segmentation(fine_lengths(model.cut(rows).lengths, group))

    complete, group = whole_blocks, model.segments.group
    if model.segments.variable:
        complete = partial(whole_variable_blocks, cut=fine, device=model.device)
    # Tokens are in fine segments alone, of which every block holds equally many.
    whole = complete(
        batch,
        model.representation.slots,
        fine_places(block, group),
        end_of_text=model.vocabulary.end_of_text,
        prompt_rows=cut if model.segments.aligned else 0.0,
        noise=noise,
    )
    if whole.segments is None:
        return whole
    return replace(whole, segments=spread(whole.segments, group))


def prompt_ends(draws: Tensor, batch: TokenBatch) -> Tensor:
    """(rows,) int64: where a prompt might end, in the mean behind a third of a row.

    What follows is cut as it would be after such a prompt: the later it ends, the less of it.
    """
    return (draws.square() * batch.lengths).long()


def whole_blocks(
    batch: TokenBatch, size: int, block: int, *, end_of_text: int, prompt_rows: float, noise: Noise
) -> TokenBatch:
    """Rows of whole blocks: documents filled up with end-of-text, cut windows shortened.

    In some rows a boundary is forced at a random place, as the end of a prompt forces one.

    Args:
        batch: rows as they were read.
        size: tokens of a full segment.
        block: segments of a block.
        end_of_text: what documents are filled up with.
        prompt_rows: share of the rows in which a boundary is forced.
        noise: of the step.
    """
    rows = len(batch.lengths)
    draws = noise.uniform("forced boundaries", (rows, 2), torch.zeros(()))
    at = prompt_ends(draws[:, 1], batch)
    forced = (draws[:, 0] < prompt_rows) & (size > 1)
    at = torch.where(forced, at, 0)
    head = -(-at // size)
    segments = head - (at - batch.lengths) // size
    rounded = torch.where(batch.complete, -(-segments // block) * block, segments // block * block)
    lengths = (at + (rounded - head) * size).clamp(min=0)
    lengths = torch.where(batch.complete, lengths, torch.minimum(lengths, batch.lengths))
    # A boundary may make a document one block longer than the batch is wide. Its width is that
    # of every process's rows, whichever of them are cut.
    room = -(-batch.tokens.shape[1] // (size * block)) + (prompt_rows > 0 and size > 1)
    width = room * block * size
    tokens = batch.tokens.new_full((rows, width), end_of_text)
    tokens[:, : batch.tokens.shape[1]] = batch.tokens
    tokens[torch.arange(width) >= lengths[:, None]] = end_of_text
    boundary = torch.zeros(rows, width, dtype=torch.bool)
    boundary.scatter_(1, at[:, None], forced[:, None])
    return TokenBatch(tokens, lengths, batch.complete, boundary)


def whole_variable_blocks(
    batch: TokenBatch,
    size: int,
    block: int,
    *,
    cut: Callable[[TokenBatch], Segmentation],
    device: torch.device,
    end_of_text: int,
    prompt_rows: float,
    noise: Noise,
) -> TokenBatch:
    """As `whole_blocks`, where a segment's length depends on what it holds.

    Args:
        batch: rows as they were read.
        size: most tokens of a segment.
        block: segments of a block.
        cut: asked for the segments of the filled rows, which are settled thereby.
        device: where they are cut.
        end_of_text: what documents are filled up with.
        prompt_rows: share of the rows in which a boundary is forced.
        noise: of the step.
    """
    draws = noise.uniform("forced boundaries", (len(batch.lengths), 2), torch.zeros(()))
    at = prompt_ends(draws[:, 1], batch)
    forced = (draws[:, 0] < prompt_rows) & (at > 0)
    tokens = functional.pad(batch.tokens, (0, block * size), value=end_of_text)
    boundary = torch.zeros_like(tokens, dtype=torch.bool).scatter_(1, at[:, None], forced[:, None])
    filled = torch.where(batch.complete, batch.lengths + block * size, batch.lengths)
    with torch.no_grad():
        rows = TokenBatch(tokens, filled, batch.complete, boundary).to(device)
        sizes = cut(rows).lengths.cpu()
    ends = sizes.cumsum(1)
    begun = ((sizes > 0) & (ends - sizes < batch.lengths[:, None])).sum(1)
    # Where a window ends is no boundary: its last segment might go on.
    whole = torch.where(batch.complete, -(-begun // block), (begun - 1) // block).clamp(min=0)
    whole = whole * block
    sizes = functional.pad(sizes, (0, block))[:, : max(block, int(whole.max()))]
    sizes = torch.where(torch.arange(sizes.shape[1]) < whole[:, None], sizes, 0)
    lengths = sizes.sum(1)
    width = int(lengths.max()) + 1  # a boundary forced at the widest row's end is kept
    tokens = tokens[:, :width]
    tokens[torch.arange(width) >= lengths[:, None]] = end_of_text
    return TokenBatch(tokens, lengths, batch.complete, boundary[:, :width], sizes)


def learned_segments(batch: TokenBatch, segmentation: Segmentation, block: int = 1) -> Tensor:
    """(batch, segments) bool: all segments but those that end where a boundary was forced.

    As the end of a prompt they are only ever given, never generated, and with them what stands
    before them in their block.
    """
    if batch.forced is None:
        return segmentation.mask
    ends = segmentation.lengths.cumsum(1)
    # One place more: the end of a row that is full forces nothing.
    forced = torch.nn.functional.pad(batch.forced, (0, 1))
    cut = grouped(forced.gather(1, ends) & (segmentation.lengths > 0), block)
    given = cut.flip(2).cumsum(2).flip(2) > 0
    return segmentation.mask & ~given.flatten(1)[:, : ends.shape[1]]
