"""One affine flow across the positions of a block, its scales and shifts by a transformer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from zuko.transforms import LULinearTransform, MonotonicAffineTransform

from colaflex.interfaces.one_line import one_line
from colaflex.networks.causal import CausalTransformer

__all__ = ["AffineFlow", "Places", "moved"]


@dataclass(frozen=True, slots=True)
class Places:
    """Which positions of each block a flow is over: a run of them, brought to the front.

    Attributes:
        first: (rows,) position in the block at which the run begins.
        count: (rows,) its length.
        size: positions of a block.
    """

    first: Tensor
    count: Tensor
    size: int

    __repr__ = one_line

    def within(self) -> Tensor:
        """(rows, size) bool: steps that belong to the run."""
        return self._steps() < self.count[:, None]

    def index(self) -> Tensor:
        """(rows, size): the block's position of each step; arbitrary behind the run."""
        return (self.first[:, None] + self._steps()).clamp(max=self.size - 1)

    def order(self, backwards: bool) -> Tensor:
        """(rows, size): the steps forwards, or the run's backwards; its own inverse."""
        steps = self._steps().expand(len(self.count), -1)
        return torch.where(self.within() & backwards, self.count[:, None] - 1 - steps, steps)

    def _steps(self) -> Tensor:
        return torch.arange(self.size, device=self.count.device)


class AffineFlow(nn.Module):
    """u_j = (W z)_j · exp(a_j) + b_j with a_j, b_j of the context and (W z)_<j; W mixes channels.

    The identity until it has learned. Positions come in order, or `backwards`.
    """

    def __init__(
        self, dim: int, size: int, width: int, layers: int, heads: int, *, backwards: bool
    ) -> None:
        super().__init__()
        self.backwards = backwards
        self.mixing = nn.Parameter(torch.eye(dim))
        self.context = nn.Linear(width, width)
        self.lift = nn.Linear(dim, width)
        self.place = nn.Parameter(torch.randn(size, width))
        self.transformer = CausalTransformer(width, layers, heads)
        self.head = nn.Linear(width, 2 * dim)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, z: Tensor, context: Tensor, places: Places) -> tuple[Tensor, Tensor]:
        """Towards noise.

        Args:
            z: (rows, size, dim), of which a run counts.
            context: (rows, width).
            places: the run, brought to the front.

        Returns:
            What z becomes, and (rows, size) the log determinant's part of every position.
        """
        order = places.order(self.backwards)
        mixed, volume = LULinearTransform(self.mixing).call_and_ladj(moved(z, order))
        inputs = self._asked(context, places, order)
        inputs = inputs + nn.functional.pad(self.lift(mixed[:, :-1]), (0, 0, 1, 0))
        u, stretch = self._affine(self.transformer(inputs)).call_and_ladj(mixed)
        return moved(u, order), moved((volume + stretch.sum(-1))[..., None], order)[..., 0]

    def inverse(self, u: Tensor, context: Tensor, places: Places) -> Tensor:
        """From noise, one position after the other."""
        order = places.order(self.backwards)
        asked, ordered = self._asked(context, places, order), moved(u, order)
        cache, mixed = self.transformer.begin(len(u), asked), list[Tensor]()
        for step in range(u.shape[1]):
            inputs = asked[:, step] + self.lift(mixed[-1]) if mixed else asked[:, step]
            states, cache = self.transformer.extend(inputs[:, None], cache)
            mixed.append(self._affine(states[:, 0]).inv(ordered[:, step]))
        z: Tensor = LULinearTransform(self.mixing).inv(torch.stack(mixed, 1))
        return moved(z, order)

    def flops(self, blocks: int) -> int:
        """Model FLOPs of `forward` over so many blocks."""
        size, linear = len(self.place), self.lift.weight.numel() + self.head.weight.numel()
        linear = size * (linear + self.mixing.numel()) + self.context.weight.numel()
        return self.transformer.flops(blocks, size) + 2 * blocks * linear

    def _asked(self, context: Tensor, places: Places, order: Tensor) -> Tensor:
        """(rows, size, width): the context, and which position of the block is asked for."""
        asked: Tensor = self.context(context)[:, None] + self.place[places.index().gather(1, order)]
        return asked

    def _affine(self, states: Tensor) -> MonotonicAffineTransform:
        shift, scale = self.head(states).chunk(2, -1)
        return MonotonicAffineTransform(shift, scale)


def moved(x: Tensor, index: Tensor) -> Tensor:
    """Positions of (rows, size, dim) by their index (rows, size)."""
    return x.gather(1, index[..., None].expand_as(x))
