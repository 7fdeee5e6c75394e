"""Solver and coupling: the parts of flow-type priors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from colaflex.interfaces.noise import Noise

__all__ = ["Coupling", "Solver", "VelocityField"]

VelocityField = Callable[[Tensor, Tensor], Tensor]
"""(scalar time, state) -> velocity of the state's shape."""


class Solver(ABC):
    """Integrates dz/dt = v(t, z) from t = 1 (noise) to t = 0 (data).

    Example:
        >>> solver = colaflex.build("solver", "euler")
        >>> solver.solve(lambda time, state: torch.ones_like(state), torch.ones(2), steps=4)
        tensor([0., 0.])
    """

    adaptive: ClassVar[bool] = False

    @abstractmethod
    def solve(self, velocity: VelocityField, start: Tensor, steps: int) -> Tensor:
        """The state at t = 0.

        Args:
            velocity: the field.
            start: the state at t = 1.
            steps: intervals of a fixed-step solver; an adaptive one chooses its own.
        """


class Coupling(ABC):
    """Pairs noise with data before the path between them is drawn.

    A sampler draws noise without regard to anything, so a pairing may exchange noise between the
    rows of a batch, never change it or move it to other positions.

    Example:
        >>> class Turned(Coupling):
        ...     def pair(self, data, noise, mask, draws):
        ...         return noise.roll(1, 0)
        >>> data, noise = torch.zeros(3, 2, 4), torch.arange(3.0)[:, None, None].expand(3, 2, 4)
        >>> Turned().pair(data, noise, torch.ones(3, 2).bool(), draws=None)[:, 0, 0]
        tensor([2., 0., 1.])
    """

    @abstractmethod
    def pair(self, data: Tensor, noise: Tensor, mask: Tensor, draws: Noise) -> Tensor:
        """The noise, rearranged to belong to the data, one block of each row at once.

        Args:
            data: (batch, block, dim).
            noise: (batch, block, dim).
            mask: (batch, block) bool, positions that count.
            draws: keyed draws for a random pairing.
        """

    def pair_all(self, data: Tensor, noise: Tensor, mask: Tensor, draws: Noise) -> Tensor:
        """The same for all blocks and noisings of a batch; here, one after the other.

        Block by block, so that what is rearranged stays at its place in the document. A coupling
        that can pair them together, or need not look at them, says so here.

        Args:
            data: (batch, blocks, block, dim).
            noise: (samples, batch, blocks, block, dim).
            mask: (batch, blocks, block) bool, positions that count.
            draws: keyed draws; each block of each noising has a scope of its own.
        """
        samples, _, blocks = noise.shape[:3]
        paired = [
            self.pair(
                data[:, b],
                noise[s, :, b],
                mask[:, b],
                replace(draws, scope=f"{draws.scope}/{s}/{b}"),
            )
            for s in range(samples)
            for b in range(blocks)
        ]
        together: Tensor = torch.stack(paired, 1).unflatten(1, (samples, blocks))
        return together.transpose(0, 1)
