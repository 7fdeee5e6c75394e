"""Segmenter: which span of tokens one latent stands for."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from colaflex.interfaces.losses import Losses
from colaflex.interfaces.values import Segmentation, TokenBatch

__all__ = ["Segmenter"]


class Segmenter(nn.Module, ABC):
    """Cuts token rows into segments; a boundary before token i depends on tokens up to i only.

    Example:
        >>> from colaflex.interfaces.values import Segmentation, TokenBatch
        >>> class Pairs(Segmenter):
        ...     def segment(self, tokens, states=None):
        ...         whole = tokens.tokens.shape[1] // 2
        ...         return Segmentation(torch.full((len(tokens.tokens), whole), 2))
        >>> rows = TokenBatch(torch.zeros(1, 6).long(), torch.tensor([6]), torch.tensor([True]))
        >>> Pairs().segment(rows).lengths
        tensor([[2, 2, 2]])
    """

    @abstractmethod
    def segment(self, tokens: TokenBatch, states: Tensor | None = None) -> Segmentation:
        """Segment every row.

        Args:
            tokens: the rows; `tokens.forced` marks tokens at which a segment must begin.
            states: (batch, tokens, width) causal token states, where the segmenter needs them.
        """

    def flops(self, batch: int, tokens: int) -> int:
        """Model FLOPs of segmenting rows of so many tokens; none by default."""
        del batch, tokens
        return 0

    def losses(self, tokens: TokenBatch, segmentation: Segmentation) -> Losses:
        """The segmenter's own regularisers; none by default."""
        del tokens, segmentation
        return {}
