"""The committed past of a causal network: exact keys and values, rows of different lengths."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from colaflex.networks.attention import KeyValues

__all__ = ["Cache"]


@dataclass(frozen=True)
class Cache:
    """Keys and values of every layer; row i holds `lengths[i]` positions, the rest is void.

    Attributes:
        layers: one per layer, (rows, heads, capacity, head_dim).
        lengths: (rows,) int64.
        longest: the largest of the lengths, known on the host.
        even: whether all rows are equally long, known on the host.
    """

    layers: tuple[KeyValues, ...]
    lengths: Tensor
    longest: int
    even: bool

    @staticmethod
    def empty(layers: int, rows: int, heads: int, head_dim: int, like: Tensor) -> Cache:
        """A cache of no positions."""
        nothing = like.new_zeros(rows, heads, 0, head_dim)
        lengths = torch.zeros(rows, dtype=torch.int64, device=like.device)
        return Cache((KeyValues(nothing, nothing),) * layers, lengths, 0, True)

    def valid(self) -> Tensor:
        """(rows, longest) bool: positions that hold something."""
        positions = torch.arange(self.longest, device=self.lengths.device)
        return positions < self.lengths[:, None]

    def append(self, fresh: list[KeyValues], counts: Tensor | None) -> Cache:
        """The cache with new positions behind each row's own end.

        Args:
            fresh: one per layer, (rows, heads, new, head_dim).
            counts: (rows,) how many of the new positions count in each row; all by default.
        """
        new = fresh[0].keys.shape[2]
        if counts is None and self.even:
            joined = tuple(old.join(more) for old, more in zip(self.layers, fresh, strict=True))
            return Cache(joined, self.lengths + new, self.longest + new, True)
        counts = torch.full_like(self.lengths, new) if counts is None else counts
        lengths = self.lengths + counts
        longest = int(lengths.max())
        even = bool((lengths == longest).all())
        # Each row's new positions land right behind its own end; what does not count falls on
        # one spare position that is cut off.
        offset = torch.arange(new, device=lengths.device)
        target = torch.where(offset < counts[:, None], self.lengths[:, None] + offset, longest)
        layers = tuple(
            KeyValues(
                _place(old.keys, more.keys, target, longest),
                _place(old.values, more.values, target, longest),
            )
            for old, more in zip(self.layers, fresh, strict=True)
        )
        return Cache(layers, lengths, longest, even)

    def select(self, rows: Tensor) -> Cache:
        """The cache of some of the rows."""
        lengths = self.lengths[rows]
        longest = int(lengths.max()) if len(rows) else 0
        layers = tuple(
            KeyValues(layer.keys[rows, :, :longest], layer.values[rows, :, :longest])
            for layer in self.layers
        )
        return Cache(layers, lengths, longest, bool((lengths == longest).all()))


def _place(old: Tensor, new: Tensor, target: Tensor, longest: int) -> Tensor:
    rows, heads, _, head_dim = new.shape
    # Void positions are zero, never stale: 0 · weight 0 stays finite under any mask.
    room = old.new_zeros(rows, heads, longest + 1, head_dim)
    room[:, :, : old.shape[2]] = old[:, :, :longest]
    index = target[:, None, :, None].expand_as(new)
    return room.scatter(2, index, new)[:, :, :longest]
