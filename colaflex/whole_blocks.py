"""Rows of whole blocks: what a prior, which generates block by block, learns from."""

from __future__ import annotations

import torch

from colaflex.interfaces.noise import Noise
from colaflex.interfaces.values import TokenBatch

__all__ = ["whole_blocks"]

FORCED_ROWS = 0.25
"""Share of the rows in which a boundary is forced at a random place, as a prompt's end does."""


def whole_blocks(
    batch: TokenBatch, size: int, block: int, end_of_text: int, longest: int, noise: Noise
) -> TokenBatch:
    """Rows of whole blocks: documents filled up with end-of-text, cut windows shortened.

    In some rows a boundary is forced at a random place, as the end of a prompt forces one.

    Args:
        batch: rows as they were read.
        size: tokens of a full segment.
        block: segments of a block.
        end_of_text: what documents are filled up with.
        longest: length of the windows that documents are cut into.
        noise: of the step.
    """
    rows, width = batch.tokens.shape
    # A forced boundary can make one segment more. Rows of the longest length are nearly all
    # windows, which are cut for it: they are not worth another block.
    room = -(-width // size) if width >= longest else 1 - (1 - width) // size
    room = -(-room // block) * block
    width = room * size
    draws = noise.uniform("forced boundaries", (rows, 2), torch.zeros(()))
    at = (draws[:, 1] * batch.lengths).long()
    head = -(-at // size)
    segments = head - (at - batch.lengths) // size
    # A document has to fit; a window is cut anyway.
    fits = (segments <= room) | ~batch.complete
    forced = (draws[:, 0] < FORCED_ROWS) & fits & (size > 1)
    at, head = torch.where(forced, at, 0), torch.where(forced, head, 0)
    segments = torch.where(forced, segments.clamp(max=room), -(-batch.lengths // size))
    rounded = torch.where(batch.complete, -(-segments // block) * block, segments // block * block)
    lengths = (at + (rounded - head) * size).clamp(min=0)
    lengths = torch.where(batch.complete, lengths, torch.minimum(lengths, batch.lengths))
    tokens = batch.tokens.new_full((rows, width), end_of_text)
    tokens[:, : batch.tokens.shape[1]] = batch.tokens
    tokens[torch.arange(width) >= lengths[:, None]] = end_of_text
    boundary = torch.zeros(rows, width, dtype=torch.bool)
    boundary.scatter_(1, at[:, None], forced[:, None])
    return TokenBatch(tokens, lengths, batch.complete, boundary)
