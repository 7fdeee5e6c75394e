"""What latents of token segments stand for: the sizes of it, and a history read by its tokens."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from colaflex.interfaces.levels import coarse_places

__all__ = ["TokenHistory", "TokenSlots", "token_costs"]


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


def token_costs(logits: Tensor, content: Tensor) -> Tensor:
    """(batch, segments) nats: what the tokens of each segment cost, the sum over its slots.

    Args:
        logits: (batch, segments, slots, symbols), the last symbol the segment's end.
        content: (batch, ..., slots) the tokens of as many segments, and the end behind them.
    """
    truth, end = content.reshape(logits.shape[:-1]), logits.shape[-1] - 1
    costs = functional.cross_entropy(
        logits.flatten(0, -2).to(torch.promote_types(logits.dtype, torch.float32)),
        truth.flatten(),
        reduction="none",
    ).view(truth.shape)
    # A decoder says where a segment ends, and nothing of the slots behind; what begins with
    # its end holds no tokens of its own.
    counted = functional.pad(truth != end, (1, 0), value=True)[..., :-1]
    counted &= truth[..., :1] != end
    return torch.where(counted, costs, 0.0).sum(-1)


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
