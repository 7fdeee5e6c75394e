"""The committed past of a causal network: exact keys and values, rows of different lengths."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from colaflex.interfaces.one_line import one_line
from colaflex.networks.attention import KeyValues

__all__ = ["Cache"]


@dataclass(frozen=True)
class Cache:
    """Keys and values of every layer; row i holds `lengths[i]` positions, the rest is void.

    Attributes:
        rooms: one per layer, (rows, heads, longest + spare, head_dim); what lies behind `longest`
            is scratch, so that a block looked at many times moves the past only once.
        lengths: (rows,) int64.
        longest: the largest of the lengths, known on the host.
        even: whether all rows are equally long, known on the host.
        kept: what a network keeps as long as the history goes on, by keys of its own; where no
            gradients are taken, and weights rest.

    Example:
        >>> from colaflex.networks.attention import KeyValues
        >>> cache = Cache.empty(layers=2, rows=3, heads=4, head_dim=8, like=torch.zeros(1))
        >>> fresh = [KeyValues(torch.zeros(3, 4, 5, 8), torch.zeros(3, 4, 5, 8))] * 2
        >>> cache.append(5, fresh, counts=torch.tensor([5, 2, 0])).lengths
        tensor([5, 2, 0])
    """

    rooms: tuple[KeyValues, ...]
    lengths: Tensor
    longest: int
    even: bool
    kept: dict[Hashable, Any] = field(default_factory=dict, compare=False)

    __repr__ = one_line

    @staticmethod
    def empty(layers: int, rows: int, heads: int, head_dim: int, like: Tensor) -> Cache:
        """A cache of no positions."""
        nothing = like.new_zeros(rows, heads, 0, head_dim)
        lengths = torch.zeros(rows, dtype=torch.int64, device=like.device)
        return Cache((KeyValues(nothing, nothing),) * layers, lengths, 0, True)

    @property
    def layers(self) -> tuple[KeyValues, ...]:
        """The past alone: one per layer, (rows, heads, longest, head_dim)."""
        return tuple(room.first(self.longest) for room in self.rooms)

    def valid(self) -> Tensor:
        """(rows, longest) bool: positions that hold something."""
        positions = torch.arange(self.longest, device=self.lengths.device)
        return positions < self.lengths[:, None]

    def behind(self, layer: int, fresh: KeyValues) -> KeyValues:
        """The past of a layer and fresh positions behind it, good until the next call."""
        room, end = self.rooms[layer], self.longest + fresh.keys.shape[2]
        if torch.is_grad_enabled() or room.keys.shape[2] < end:
            return room.first(self.longest).join(fresh)
        room.keys[:, :, self.longest : end] = fresh.keys
        room.values[:, :, self.longest : end] = fresh.values
        return room.first(end)

    def append(
        self, new: int, fresh: list[KeyValues], counts: Tensor | None, spare: int = 0
    ) -> Cache:
        """The cache with new positions behind each row's own end, in the new positions' dtype.

        Args:
            new: positions.
            fresh: one per layer, (rows, heads, new, head_dim).
            counts: (rows,) how many of the new positions count in each row; all by default.
            spare: positions of scratch behind the new ones, where no gradients are taken.
        """
        spare = 0 if torch.is_grad_enabled() else spare
        if counts is None and self.even:
            longest = self.longest + new
            joined = tuple(
                KeyValues(
                    _joined(old.keys[:, :, : self.longest], more.keys, spare),
                    _joined(old.values[:, :, : self.longest], more.values, spare),
                )
                for old, more in zip(self.rooms, fresh, strict=True)
            )
            return Cache(joined, self.lengths + new, longest, True, self.kept)
        counts = torch.full_like(self.lengths, new) if counts is None else counts
        lengths = self.lengths + counts
        longest = int(lengths.max())
        even = bool((lengths == longest).all())
        # Each row's new positions land right behind its own end; what does not count falls on
        # one spare position that counts for nobody.
        offset = torch.arange(new, device=lengths.device)
        target = torch.where(offset < counts[:, None], self.lengths[:, None] + offset, longest)
        layers = tuple(
            KeyValues(
                _placed(old.keys, more.keys, target, longest, spare),
                _placed(old.values, more.values, target, longest, spare),
            )
            for old, more in zip(self.layers, fresh, strict=True)
        )
        return Cache(layers, lengths, longest, even, self.kept)

    def emptied(self) -> Cache:
        """No positions of the same rows; what is kept stays."""
        rooms = tuple(room.first(0) for room in self.rooms)
        return Cache(rooms, torch.zeros_like(self.lengths), 0, True, self.kept)

    def select(self, rows: Tensor) -> Cache:
        """The cache of some of the rows."""
        lengths = self.lengths[rows]
        longest = int(lengths.max()) if len(rows) else 0
        fewer = self.longest - longest
        rooms = tuple(
            KeyValues(
                *(part[rows, :, : part.shape[2] - fewer] for part in (room.keys, room.values))
            )
            for room in self.rooms
        )
        return Cache(rooms, lengths, longest, bool((lengths == longest).all()), self.kept)


def _joined(old: Tensor, new: Tensor, spare: int) -> Tensor:
    rows, heads, _, head_dim = new.shape
    parts = [old.to(new.dtype), new]
    if spare:
        parts.append(new.new_zeros(rows, heads, spare, head_dim))
    return torch.cat(parts, 2)


def _placed(old: Tensor, new: Tensor, target: Tensor, longest: int, spare: int) -> Tensor:
    rows, heads, _, head_dim = new.shape
    # Void positions are zero, never stale: 0 · weight 0 stays finite under any mask.
    room = new.new_zeros(rows, heads, longest + max(spare, 1), head_dim)
    room[:, :, : old.shape[2]] = old[:, :, :longest]
    index = target[:, None, :, None].expand_as(new)
    return room.scatter(2, index, new)
