"""A causal transformer over a sequence of vectors, with an exact cache."""

from __future__ import annotations

import torch
from torch import Tensor

from colaflex.networks.attention import KeyValues, attention, attention_mask, causal_attention
from colaflex.networks.cache import Cache
from colaflex.networks.transformer import Transformer

__all__ = ["CausalTransformer"]

MOST_SPARE = 16
"""Positions for which a cache keeps room at most; more at once move the past."""


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
        x, _, fresh = self._extended(x, cache, len(self.layers))
        return self.norm(x), self._appended(cache, x.shape[1], fresh, counts)

    def commit(self, x: Tensor, cache: Cache, counts: Tensor | None = None) -> Cache:
        """The cache of `extend` alone: nobody reads the last layer's states."""
        x, table, fresh = self._extended(x, cache, max(0, len(self.layers) - 1))
        fresh += [layer.keys_values(x, table) for layer in self._stack[-1:]]
        return self._appended(cache, x.shape[1], fresh, counts)

    @staticmethod
    def _appended(cache: Cache, new: int, fresh: list[KeyValues], counts: Tensor | None) -> Cache:
        """With room for as many positions more, but that prompts are longer than what follows."""
        return cache.append(new, fresh, counts, spare=min(new, MOST_SPARE))

    def _extended(
        self, x: Tensor, cache: Cache, layers: int
    ) -> tuple[Tensor, Tensor, list[KeyValues]]:
        """What the first layers make of further positions, the rotations, and their keys."""
        x = self._wide(x)
        steps = torch.arange(x.shape[1], device=x.device)
        if cache.even and len(steps) == 1:
            table, mask = self._table(cache.longest + steps, x), None
        else:
            own = cache.lengths[:, None] + steps
            table = self._table(own, x)[:, None]
            past = torch.arange(cache.longest, device=x.device).expand(x.shape[0], -1)
            valid = torch.cat([cache.valid(), torch.ones_like(own, dtype=torch.bool)], 1)
            # Void positions of a short row lie at or behind its end: their keys are invalid.
            mask = attention_mask(own, torch.cat([past, own], 1), valid)
        fresh: list[KeyValues] = []
        for index, layer in enumerate(self._stack[:layers]):

            def attend(q: Tensor, k: Tensor, v: Tensor, index: int = index) -> Tensor:
                seen = cache.behind(index, KeyValues(k, v))
                return attention(q, seen.keys, seen.values, mask)

            x, new = layer(x, table, attend)
            fresh.append(new)
        return x, table, fresh
