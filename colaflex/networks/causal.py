"""A causal transformer over a sequence of vectors, with an exact cache."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from colaflex.networks.attention import (
    KeyValues,
    SelfAttention,
    attention_mask,
    causal_attention,
)
from colaflex.networks.cache import Cache
from colaflex.networks.feed_forward import FeedForward
from colaflex.networks.rotary import rotary_table

__all__ = ["CausalTransformer"]


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int, ratio: float) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(width, eps=1e-6)
        self.attention = SelfAttention(width, heads)
        self.feed_norm = nn.RMSNorm(width, eps=1e-6)
        self.feed = FeedForward(width, FeedForward.hidden_width(width, ratio))

    def forward(
        self, x: Tensor, table: Tensor, past: KeyValues | None, mask: Tensor | None
    ) -> tuple[Tensor, KeyValues]:
        h = self.attention_norm(x)
        fresh = self.attention.keys_values(h, table)
        query = self.attention.queries(h, table)
        if past is None and mask is None:
            mixed = causal_attention(query, fresh.keys, fresh.values)
            x = x + self.attention.output(mixed.transpose(1, 2).flatten(2))
        else:
            seen = fresh if past is None else past.join(fresh)
            x = x + self.attention.attend(query, seen, mask)
        return x + self.feed(self.feed_norm(x)), fresh


class CausalTransformer(nn.Module):
    """Pre-norm transformer in which position i sees positions <= i.

    Attributes:
        gradient_checkpointing: recompute layers in the backward pass.

    Example:
        >>> transformer, x = CausalTransformer(width=32, layers=2, heads=4), torch.randn(1, 6, 32)
        >>> states, cache = transformer.extend(x[:, :4], transformer.begin(1, x))
        >>> more, cache = transformer.extend(x[:, 4:], cache)
        >>> torch.allclose(torch.cat([states, more], 1), transformer(x), atol=1e-5)
        True
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
                x, _ = checkpoint(layer, x, table, None, None, use_reentrant=False)
            else:
                x, _ = layer(x, table, None, None)
        states: Tensor = self.norm(x)
        return states

    def begin(self, rows: int, like: Tensor) -> Cache:
        """An empty cache."""
        return Cache.empty(len(self.layers), rows, self.heads, self.width // self.heads, like)

    def extend(self, x: Tensor, cache: Cache, counts: Tensor | None = None) -> tuple[Tensor, Cache]:
        """States of further positions of each row, given those before.

        Args:
            x: (rows, positions, width).
            cache: of the positions before (not to be used again).
            counts: (rows,) how many of the positions count; all by default.
        """
        x = x.to(self.norm.weight.dtype)
        own = cache.lengths[:, None] + torch.arange(x.shape[1], device=x.device)
        table = rotary_table(own, self.width // self.heads, self.theta, x.dtype)[:, None]
        past = torch.arange(cache.longest, device=x.device).expand(x.shape[0], -1)
        valid = torch.cat([cache.valid(), torch.ones_like(own, dtype=torch.bool)], 1)
        # Void positions of a short row lie at or behind its end: their keys are marked invalid.
        mask = attention_mask(own, torch.cat([past, own], 1), valid)
        fresh: list[KeyValues] = []
        for layer, seen in zip(self.layers, cache.layers, strict=True):
            x, new = layer(x, table, seen, mask)
            fresh.append(new)
        return self.norm(x), cache.append(fresh, counts)

    def flops(self, batch: int, positions: int) -> int:
        """Model FLOPs of one forward pass."""
        linear = sum(m.weight.numel() for m in self.layers.modules() if isinstance(m, nn.Linear))
        pairs = positions * (positions + 1) // 2
        return batch * (2 * positions * linear + 4 * len(self.layers) * pairs * self.width)
