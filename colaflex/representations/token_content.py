"""What latents of token segments stand for: the sizes of it, and a history read by its tokens."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from colaflex.interfaces.levels import coarse_places

__all__ = ["TokenHistory", "TokenSlots"]


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

    def with_ends(self, tokens: Tensor) -> Tensor:
        """(..., segments, slots) symbols, with the end in all slots behind one and in coarse ones.

        Args:
            tokens: of that shape; segments count from a group's first.
        """
        end = self.symbols - 1
        behind = (tokens == end).cummax(-1).values
        places = torch.arange(tokens.shape[-2], device=tokens.device)
        return tokens.masked_fill(behind | coarse_places(places, self.group)[:, None], end)


class TokenHistory(nn.Module):
    """Reads contents as the embeddings of their tokens, joined: a latent's to one vector.

    Args:
        sizes: of what latents stand for.
        width: channels of what is read.
    """

    def __init__(self, sizes: TokenSlots, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(sizes.symbols, sizes.inner)
        self.join = nn.Linear(sizes.slots * sizes.inner, width)

    def forward(self, content: Tensor) -> Tensor:
        """(..., slots) symbols -> (..., width)."""
        joined: Tensor = self.join(self.embedding(content).flatten(-2))
        return joined
