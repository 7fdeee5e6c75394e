"""How the noisy blocks of a document lie in one training pass.

Every block is trained at once: noisy block b sees the clean blocks before it and itself (the "2L"
arrangement of block diffusion). Laid out densely, most of that attention is masked away. Here the
blocks are ordered by chunks, all noisings of a chunk together, so that each chunk attends to the
history before its end and to itself only: the same numbers for a fraction of the pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

__all__ = ["ParallelLayout", "chunk_bounds", "parallel_layout"]

CHUNK_POSITIONS = 64
"""Queries of one attention call; more wastes pairs, fewer wastes calls (measured on CPU)."""


@dataclass(frozen=True)
class ParallelLayout:
    """Order of the noisy blocks of a training pass and the masks of its chunks.

    Attributes:
        order: (samples · blocks,) where in the sample-major list each block of the layout stands.
        inverse: (samples · blocks,) the way back.
        positions: (samples · blocks · block,) position of each latent in the document.
        sizes: queries of each chunk.
        history: clean positions that each chunk's last block sees.
        masks: per chunk, (queries, history + queries) bool.
        samples_of: per chunk, (queries,) the noising each query belongs to.
    """

    order: Tensor
    inverse: Tensor
    positions: Tensor
    sizes: tuple[int, ...]
    history: tuple[int, ...]
    masks: tuple[Tensor, ...]
    samples_of: tuple[Tensor, ...]


def chunk_bounds(blocks: int, block: int, samples: int = 1) -> list[tuple[int, int]]:
    """First and last-but-one block of each chunk."""
    size = max(1, CHUNK_POSITIONS // (block * samples))
    return [(first, min(first + size, blocks)) for first in range(0, blocks, size)]


@lru_cache(maxsize=256)
def parallel_layout(blocks: int, block: int, samples: int, device: torch.device) -> ParallelLayout:
    """The layout of a document of `blocks` blocks with `samples` noisings."""
    bounds = chunk_bounds(blocks, block, samples)
    groups = [
        [(m, b) for m in range(samples) for b in range(first, last)] for first, last in bounds
    ]
    flat = [group for chunk in groups for group in chunk]
    order = torch.tensor([m * blocks + b for m, b in flat], device=device)
    starts = torch.tensor([b * block for _, b in flat], device=device)
    history = tuple((last - 1) * block for _, last in bounds)
    own = [torch.tensor(chunk, device=device).repeat_interleave(block, 0) for chunk in groups]
    return ParallelLayout(
        order=order,
        inverse=order.argsort(),
        positions=(starts[:, None] + torch.arange(block, device=device)).flatten(),
        sizes=tuple(len(chunk) * block for chunk in groups),
        history=history,
        masks=tuple(
            torch.cat(
                [
                    torch.arange(past, device=device) < chunk[:, 1:] * block,
                    (chunk[:, None] == chunk[None]).all(-1),
                ],
                1,
            )
            for past, chunk in zip(history, own, strict=True)
        ),
        samples_of=tuple(chunk[:, 0] for chunk in own),
    )
