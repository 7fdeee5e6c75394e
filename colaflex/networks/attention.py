"""Self-attention with QK normalisation and rotary positions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from colaflex.interfaces.configs import check_heads
from colaflex.interfaces.one_line import one_line
from colaflex.networks.rotary import rotate

__all__ = ["KeyValues", "SelfAttention", "attention", "attention_mask", "causal_attention"]

CAUSAL_CHUNK = 128
"""Queries of one product of `causal_attention`: bounds the scores in memory at once."""


def attention(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None) -> Tensor:
    """Scaled dot-product attention, (rows, heads, queries, head_dim).

    Fused kernels do it, but for training on a CPU: there the fused backward pass is up to three
    times slower than plain matrix products (measured in fp32 and bf16), and chunks of queries
    keep the scores small.

    Args:
        query: (rows, heads, queries, head_dim).
        keys: (rows, heads, keys, head_dim).
        values: (rows, heads, keys, head_dim).
        mask: broadcastable to (rows, heads, queries, keys) bool, True where a query sees a key.
    """
    if query.device.type != "cpu" or not (torch.is_grad_enabled() and query.requires_grad):
        return functional.scaled_dot_product_attention(query, keys, values, attn_mask=mask)
    with torch.autocast("cpu", enabled=False):
        scores = (query * query.shape[-1] ** -0.5) @ keys.transpose(-1, -2)
        if mask is not None:
            scores = scores.masked_fill_(~mask, torch.finfo(scores.dtype).min)
        mixed: Tensor = scores.softmax(-1) @ values
        return mixed


@dataclass(frozen=True, slots=True)
class KeyValues:
    """Keys and values of one layer, (rows, heads, positions, head_dim).

    Example:
        >>> past = KeyValues(torch.zeros(2, 4, 6, 8), torch.zeros(2, 4, 6, 8))
        >>> past.join(past.first(2))
        KeyValues(keys (2, 4, 8, 8), values (2, 4, 8, 8))
    """

    keys: Tensor
    values: Tensor

    __repr__ = one_line

    def first(self, positions: int) -> KeyValues:
        """Those of the first positions."""
        return KeyValues(self.keys[:, :, :positions], self.values[:, :, :positions])

    def join(self, other: KeyValues) -> KeyValues:
        """Both, one after the other; nothing in front leaves the others in their own precision."""
        if self.keys.shape[2] == 0:
            return other
        return KeyValues(
            torch.cat([self.keys, other.keys], 2), torch.cat([self.values, other.values], 2)
        )


def causal_attention(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attention of each position to itself and those before it, (rows, heads, positions, dim)."""
    if query.device.type != "cpu" or not (torch.is_grad_enabled() and query.requires_grad):
        return functional.scaled_dot_product_attention(query, keys, values, is_causal=True)
    parts, positions = [], torch.arange(query.shape[2])
    for part in positions.split(CAUSAL_CHUNK):
        end = int(part[-1]) + 1
        mask = positions[:end] <= part[:, None]
        parts.append(
            attention(query[:, :, part[0] : end], keys[:, :, :end], values[:, :, :end], mask)
        )
    return torch.cat(parts, 2)


class SelfAttention(nn.Module):
    """Projections of multi-head attention; callers decide who sees whom.

    Example:
        >>> from colaflex.networks.rotary import rotary_table
        >>> attention, x = SelfAttention(width=32, heads=4), torch.zeros(2, 6, 32)
        >>> table = rotary_table(torch.arange(6), 32 // 4, 10_000.0, x.dtype)
        >>> attention.queries(x, table).shape, attention.keys_values(x, table)
        (torch.Size([2, 4, 6, 8]), KeyValues(keys (2, 4, 6, 8), values (2, 4, 6, 8)))
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        check_heads(width, heads)
        self.heads, self.head_dim = heads, width // heads
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.output = nn.Linear(width, width, bias=False)
        self.query_norm = nn.RMSNorm(self.head_dim, eps=1e-6)
        self.key_norm = nn.RMSNorm(self.head_dim, eps=1e-6)

    def queries(self, x: Tensor, table: Tensor) -> Tensor:
        """(rows, positions, width) -> (rows, heads, positions, head_dim)."""
        projected = self.query(x)
        query = projected.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        return self._turned(self.query_norm, query, table).to(projected.dtype)

    def keys_values(self, x: Tensor, table: Tensor) -> KeyValues:
        """(rows, positions, width) -> keys, normalised and turned, and values."""
        projected = self.key_value(x)
        key, value = projected.unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return KeyValues(self._turned(self.key_norm, key, table).to(projected.dtype), value)

    @staticmethod
    def _turned(norm: nn.RMSNorm, x: Tensor, table: Tensor) -> Tensor:
        # Normalisation and rotation stay in fp32 under autocast; complex numbers know no bf16.
        wide = x if x.dtype == torch.float64 else x.float()
        return rotate(functional.rms_norm(wide, (x.shape[-1],), norm.weight, norm.eps), table)


def attention_mask(query_positions: Tensor, key_positions: Tensor, key_valid: Tensor) -> Tensor:
    """Causal mask between positions: a query sees valid keys at or before its own position.

    Args:
        query_positions: (rows, queries).
        key_positions: (rows, keys).
        key_valid: (rows, keys) bool.

    Returns:
        (rows, 1, queries, keys) bool.
    """
    seen = key_positions[:, None, :] <= query_positions[:, :, None]
    return (seen & key_valid[:, None, :])[:, None]
