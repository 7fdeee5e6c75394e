"""A prior's history read as text: the embeddings of a segment's tokens."""

from __future__ import annotations

from torch import Tensor, nn

from colaflex.representations.token_slots import TokenSlots

__all__ = ["TokenHistory"]


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
