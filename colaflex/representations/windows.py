"""Blocks of segments, each in a window of its own, as a bidirectional encoder reads them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from colaflex.interfaces.one_line import one_line
from colaflex.interfaces.values import Segmentation, TokenBatch
from colaflex.representations.pretrained_folder import Brackets

__all__ = ["Windows", "cut_windows"]


@dataclass(frozen=True)
class Windows:
    """Rows that hold [before | context | block | behind], and where each slot's token went.

    Attributes:
        tokens: (windows, longest) token ids.
        mask: (windows, longest) bool, tokens that count.
        place: (batch, segments, slots) index of each slot's token in the flattened windows.
        token_mask: (batch, segments, slots) bool, slots that hold a token.
    """

    tokens: Tensor
    mask: Tensor
    place: Tensor
    token_mask: Tensor

    __repr__ = one_line

    def slots(self, states: Tensor) -> Tensor:
        """(windows, longest, width) states -> (batch, segments, slots, width), 0 where no token."""
        apart = states.flatten(0, 1)[self.place]
        return torch.where(self.token_mask[..., None], apart, 0)


def cut_windows(
    tokens: TokenBatch,
    segmentation: Segmentation,
    slots: int,
    *,
    block: int,
    context: int,
    brackets: Brackets,
) -> Windows | None:
    """The windows of a batch; None where it has no segment at all.

    A block begins with its row, at a forced boundary, and `block` segments after one has begun; it
    ends where the next begins, or its row ends. So no window holds a token behind its block.

    Args:
        tokens: the rows.
        segmentation: their segments.
        slots: of a segment.
        block: segments of a block.
        context: tokens before the block that its window holds as well.
        brackets: special tokens around each window.
    """
    lengths, exists = segmentation.lengths, segmentation.mask
    if not bool(exists.any()):
        return None
    ends = lengths.cumsum(1)
    starts = ends - lengths
    begins = exists & _begins(tokens, starts, block)
    window = begins.flatten().cumsum(0).view(begins.shape) - 1
    row = begins.nonzero()[:, 0]
    first = (starts[begins] - context).clamp(min=0)
    last = torch.zeros_like(first).scatter_reduce(0, window[exists], ends[exists], "amax")
    size, before = last - first, len(brackets.before)
    longest = before + int(size.max()) + len(brackets.behind)
    at = torch.arange(longest, device=lengths.device)
    source = (first[:, None] + at - before).clamp(0, tokens.tokens.shape[1] - 1)
    text = tokens.tokens[row[:, None], source]
    text[:, :before] = text.new_tensor(brackets.before)
    behind = text.new_tensor(brackets.behind)
    text.scatter_(1, before + size[:, None] + at[: len(behind)], behind.expand(len(row), -1))
    mask = at < (before + size + len(behind))[:, None]
    slot = torch.arange(slots, device=lengths.device)
    token_mask = slot < lengths[..., None]
    shift = (window * longest + before - first[window] + starts)[..., None]
    place = torch.where(token_mask, shift + slot, 0)
    return Windows(torch.where(mask, text, 0), mask, place, token_mask)


def _begins(tokens: TokenBatch, starts: Tensor, block: int) -> Tensor:
    """(batch, segments) bool: segments with which a block begins."""
    index = torch.arange(starts.shape[1], device=starts.device)
    anew = (index == 0).expand_as(starts)
    if tokens.forced is not None:
        # One place more: behind a full row no segment begins.
        anew = anew | functional.pad(tokens.forced, (0, 1)).gather(1, starts)
    since = index - torch.where(anew, index, 0).cummax(1).values
    return since % block == 0
