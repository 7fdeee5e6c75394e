"""What transformers over a sequence of vectors share, whoever sees whom."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from colaflex.networks.attention import KeyValues, SelfAttention
from colaflex.networks.feed_forward import FeedForward
from colaflex.networks.rotary import rotary_table

__all__ = ["Transformer", "fitting_heads"]

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(queries, keys, values) of the same positions -> what attention finds, shaped as queries."""


def fitting_heads(width: int, most: int) -> int:
    """The most heads, up to so many, that divide an even width into rotary pairs."""
    return next(heads for heads in range(most, 0, -1) if width % (2 * heads) == 0)


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int, ratio: float) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(width, eps=1e-6)
        self.attention = SelfAttention(width, heads)
        self.feed_norm = nn.RMSNorm(width, eps=1e-6)
        self.feed = FeedForward(width, FeedForward.hidden_width(width, ratio))

    def forward(self, x: Tensor, table: Tensor, attend: Attend) -> tuple[Tensor, KeyValues]:
        h = self.attention_norm(x)
        fresh = self.attention.keys_values(h, table)
        mixed = attend(self.attention.queries(h, table), fresh.keys, fresh.values)
        x = x + self.attention.output(mixed.transpose(1, 2).flatten(2))
        return x + self.feed(self.feed_norm(x)), fresh

    def keys_values(self, x: Tensor, table: Tensor) -> KeyValues:
        """What further positions will see of these."""
        return self.attention.keys_values(self.attention_norm(x), table)


class Transformer(nn.Module):
    """Pre-norm transformer: rotary positions, QK norm, SwiGLU.

    Attributes:
        gradient_checkpointing: recompute layers in the backward pass.

    Example:
        >>> from colaflex.networks.attention import attention
        >>> class BidirectionalTransformer(Transformer):
        ...     _attend = staticmethod(attention)
        >>> BidirectionalTransformer(width=32, layers=2, heads=4)(torch.zeros(2, 6, 32)).shape
        torch.Size([2, 6, 32])
    """

    _attend: Attend

    def __init__(
        self, width: int, layers: int, heads: int, ratio: float = 4.0, theta: float = 10_000.0
    ) -> None:
        super().__init__()
        self.width, self.heads, self.theta = width, heads, theta
        self.layers = nn.ModuleList(_Layer(width, heads, ratio) for _ in range(layers))
        self.norm = nn.RMSNorm(width, eps=1e-6)
        self.gradient_checkpointing = False
        for layer in self.layers:
            assert isinstance(layer, _Layer)
            for last in (layer.attention.output, layer.feed.down):
                nn.init.normal_(last.weight, std=0.02 / (2 * layers) ** 0.5)

    def forward(self, x: Tensor) -> Tensor:
        """(rows, positions, width) -> states of the same shape."""
        x = self._wide(x)
        table = self._table(torch.arange(x.shape[1], device=x.device), x)
        for layer in self.layers:
            if self.gradient_checkpointing and torch.is_grad_enabled():
                x, _ = checkpoint(layer, x, table, self._attend, use_reentrant=False)
            else:
                x, _ = layer(x, table, self._attend)
        states: Tensor = self.norm(x)
        return states

    def flops(self, rows: int, positions: int) -> int:
        """Model FLOPs of one forward pass."""
        linear = sum(m.weight.numel() for m in self.layers.modules() if isinstance(m, nn.Linear))
        pairs = self._pairs(positions)
        return rows * (2 * positions * linear + 4 * len(self.layers) * pairs * self.width)

    @staticmethod
    def _pairs(positions: int) -> int:
        """How many pairs of positions see one another in a whole sequence."""
        raise NotImplementedError

    @property
    def _stack(self) -> Sequence[_Layer]:
        return [cast("_Layer", layer) for layer in self.layers]

    def _wide(self, x: Tensor) -> Tensor:
        """The residual stream in the weights' precision, also under autocast."""
        return x.to(self.norm.weight.dtype)

    def _table(self, positions: Tensor, like: Tensor) -> Tensor:
        return rotary_table(positions, self.width // self.heads, self.theta, like.dtype)
