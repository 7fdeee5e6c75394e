"""Cutting rows into segments that begin at given tokens and are never too long."""

from __future__ import annotations

import torch
from torch import Tensor

from colaflex.interfaces.values import Segmentation, TokenBatch

__all__ = ["cut_rows"]


def cut_rows(tokens: TokenBatch, size: int, begins: Tensor | None = None) -> Segmentation:
    """Segments of at most `size` tokens, counted anew from every token that begins one.

    Args:
        tokens: the rows; a segment begins at each row's first token and where one is forced.
        size: most tokens of a segment.
        begins: (batch, tokens) bool, further tokens that begin a segment.
    """
    length = tokens.tokens.shape[1]
    index = torch.arange(length, device=tokens.tokens.device).expand_as(tokens.tokens)
    restart = torch.zeros_like(index)
    for given in (tokens.forced, begins):
        if given is not None:
            restart = torch.where(given, index, restart)
    restart = restart.cummax(1).values if length else restart
    starts = ((index - restart) % size == 0) & tokens.mask
    number = starts.cumsum(1) - 1
    segments = int(number.max()) + 1 if length else 0
    lengths = index.new_zeros(len(index), segments + 1)
    # Tokens that do not count fall on a spare segment that is cut off.
    slot = torch.where(tokens.mask, number, segments)
    return Segmentation(lengths.scatter_add_(1, slot, torch.ones_like(slot))[:, :segments])
