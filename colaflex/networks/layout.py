"""How the noisy blocks of a document lie in one training pass.

Every block is trained at once: noisy block b sees the clean blocks before it and itself (the "2L"
arrangement of block diffusion). Laid out densely, most of that attention is masked away. Here
attention goes by chunks of blocks, all noisings of a chunk together, so that each chunk attends to
the history before its end and to itself only: the same numbers for a fraction of the pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from colaflex.interfaces.one_line import one_line

__all__ = ["ParallelLayout", "chunk_bounds", "parallel_layout"]

CHUNK_POSITIONS = 64
"""Queries of one attention call; more wastes pairs, fewer wastes calls (measured on CPU)."""


@dataclass(frozen=True)
class ParallelLayout:
    """Chunks of blocks of a training pass, and their masks.

    Attributes:
        samples: noisings of each latent.
        bounds: per chunk, its first and last-but-one position among a noising's.
        history: clean positions that each chunk's last block sees.
        masks: per chunk, (queries, history + queries) bool; queries are (samples, positions).

    Example:
        >>> layout = parallel_layout(blocks=4, block=8, samples=1, device=torch.device("cpu"))
        >>> layout.bounds, layout.history
        (((0, 32),), (24,))
    """

    samples: int
    bounds: tuple[tuple[int, int], ...]
    history: tuple[int, ...]
    masks: tuple[Tensor, ...]

    __repr__ = one_line


def chunk_bounds(blocks: int, block: int, samples: int = 1) -> list[tuple[int, int]]:
    """First and last-but-one block of each chunk."""
    size = max(1, CHUNK_POSITIONS // (block * samples))
    return [(first, min(first + size, blocks)) for first in range(0, blocks, size)]


@lru_cache(maxsize=256)
def parallel_layout(blocks: int, block: int, samples: int, device: torch.device) -> ParallelLayout:
    """The layout of a document of `blocks` blocks with `samples` noisings."""
    bounds = chunk_bounds(blocks, block, samples)
    history = tuple((last - 1) * block for _, last in bounds)
    masks = []
    for (first, last), past in zip(bounds, history, strict=True):
        own = torch.arange(first, last, device=device).repeat_interleave(block).repeat(samples)
        sample = torch.arange(samples, device=device).repeat_interleave((last - first) * block)
        before = torch.arange(past, device=device) < own[:, None] * block
        itself = (own[:, None] == own) & (sample[:, None] == sample)
        masks.append(torch.cat([before, itself], 1))
    positions = tuple((first * block, last * block) for first, last in bounds)
    return ParallelLayout(samples, positions, history, tuple(masks))
