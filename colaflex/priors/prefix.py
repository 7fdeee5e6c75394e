"""What stands before a block: its prefix, and the lift by which the network reads latents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["LatentLift", "Prefix"]


@dataclass(frozen=True, slots=True)
class Prefix:
    """What stands before the next block.

    Attributes:
        history: the network's.
        lengths: (rows,) latents committed.
    """

    history: Any
    lengths: Tensor


class LatentLift(nn.Module):
    """Latents to the network's width, with a mark on the block that opens a document.

    Without the mark, a document's first block and the unconditional branch of guidance, which both
    have an empty history, would be one and the same to the network.
    """

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, width)
        self.opening = nn.Parameter(torch.zeros(width))

    @property
    def weight(self) -> Tensor:
        """Of the linear map; tells device and dtype."""
        return self.linear.weight

    def forward(self, latents: Tensor, opens: Tensor | None = None) -> Tensor:
        """(..., block, dim) -> (..., block, width).

        Args:
            latents: blocks of latents.
            opens: (...) bool, blocks that open a document.
        """
        lifted: Tensor = self.linear(latents)
        return lifted if opens is None else lifted + opens[..., None, None] * self.opening
