"""A causal transformer over a sequence of vectors, with an exact cache."""

from __future__ import annotations

import torch
from torch import Tensor

from colaflex.networks.attention import KeyValues, attention, attention_mask, causal_attention
from colaflex.networks.cache import Cache
from colaflex.networks.transformer import Transformer

__all__ = ["CausalTransformer"]


class CausalTransformer(Transformer):
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

    _attend = staticmethod(causal_attention)

    @staticmethod
    def _pairs(positions: int) -> int:
        return positions * (positions + 1) // 2

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
        x = self._wide(x)
        own = cache.lengths[:, None] + torch.arange(x.shape[1], device=x.device)
        table = self._table(own, x)[:, None]
        past = torch.arange(cache.longest, device=x.device).expand(x.shape[0], -1)
        valid = torch.cat([cache.valid(), torch.ones_like(own, dtype=torch.bool)], 1)
        # Void positions of a short row lie at or behind its end: their keys are marked invalid.
        mask = attention_mask(own, torch.cat([past, own], 1), valid)
        fresh: list[KeyValues] = []
        for layer, before in zip(self.layers, cache.layers, strict=True):

            def attend(q: Tensor, k: Tensor, v: Tensor, before: KeyValues = before) -> Tensor:
                seen = before.join(KeyValues(k, v))
                return attention(q, seen.keys, seen.values, mask)

            x, new = layer(x, table, attend)
            fresh.append(new)
        return self.norm(x), cache.append(x.shape[1], fresh, counts)
