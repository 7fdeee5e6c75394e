"""A transformer in which every position sees every other."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from colaflex.networks.attention import SelfAttention
from colaflex.networks.feed_forward import FeedForward
from colaflex.networks.rotary import rotary_table

__all__ = ["BidirectionalTransformer"]


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int, ratio: float) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(width, eps=1e-6)
        self.attention = SelfAttention(width, heads)
        self.feed_norm = nn.RMSNorm(width, eps=1e-6)
        self.feed = FeedForward(width, FeedForward.hidden_width(width, ratio))

    def forward(self, x: Tensor, table: Tensor) -> Tensor:
        h = self.attention_norm(x)
        seen = self.attention.keys_values(h, table)
        x = x + self.attention.attend(self.attention.queries(h, table), seen)
        out: Tensor = x + self.feed(self.feed_norm(x))
        return out


class BidirectionalTransformer(nn.Module):
    """Pre-norm transformer without a mask: rotary positions, QK norm, SwiGLU.

    Attributes:
        gradient_checkpointing: recompute layers in the backward pass.

    Example:
        >>> transformer = BidirectionalTransformer(width=32, layers=2, heads=4)
        >>> transformer(torch.zeros(2, 6, 32)).shape
        torch.Size([2, 6, 32])
    """

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
        x = x.to(self.norm.weight.dtype)  # the residual stream stays wide under autocast
        positions = torch.arange(x.shape[1], device=x.device)
        table = rotary_table(positions, self.width // self.heads, self.theta, x.dtype)
        for layer in self.layers:
            if self.gradient_checkpointing and torch.is_grad_enabled():
                x = checkpoint(layer, x, table, use_reentrant=False)
            else:
                x = layer(x, table)
        states: Tensor = self.norm(x)
        return states

    def flops(self, rows: int, positions: int) -> int:
        """Model FLOPs of one forward pass."""
        linear = sum(m.weight.numel() for m in self.layers.modules() if isinstance(m, nn.Linear))
        pairs = positions * positions
        return rows * (2 * positions * linear + 4 * len(self.layers) * pairs * self.width)
