"""A transformer in which every position sees every other."""

from __future__ import annotations

from colaflex.networks.attention import attention
from colaflex.networks.transformer import Transformer

__all__ = ["BidirectionalTransformer"]


class BidirectionalTransformer(Transformer):
    """Pre-norm transformer without a mask: rotary positions, QK norm, SwiGLU.

    Attributes:
        gradient_checkpointing: recompute layers in the backward pass.

    Example:
        >>> transformer = BidirectionalTransformer(width=32, layers=2, heads=4)
        >>> transformer(torch.zeros(2, 6, 32)).shape
        torch.Size([2, 6, 32])
    """

    _attend = staticmethod(attention)

    @staticmethod
    def _pairs(positions: int) -> int:
        return positions * positions
