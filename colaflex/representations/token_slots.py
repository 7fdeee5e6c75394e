"""The sizes of what latents of token segments stand for."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from colaflex.interfaces.levels import coarse_places

__all__ = ["TokenSlots"]


@dataclass(frozen=True, slots=True)
class TokenSlots:
    """The sizes that a representation's latents stand for.

    Attributes:
        symbols: tokens of the vocabulary and, last, what fills slots behind a segment's end.
        slots: of a segment.
        dim: channels of a latent.
        inner: channels of a token's embedding.
        group: where the first of so many latents is coarse, their number; 1 for one level.
    """

    symbols: int
    slots: int
    dim: int
    inner: int
    group: int = 1

    def ended(self, tokens: Tensor) -> Tensor:
        """(..., segments, slots) symbols, with the end in all slots behind one and in coarse ones.

        Args:
            tokens: of that shape; segments count from a group's first.
        """
        end = self.symbols - 1
        behind = (tokens == end).cummax(-1).values
        places = torch.arange(tokens.shape[-2], device=tokens.device)
        return tokens.masked_fill(behind | coarse_places(places, self.group)[:, None], end)
