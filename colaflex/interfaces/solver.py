"""Solver and coupling: the parts of flow-type priors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from torch import Tensor

from colaflex.interfaces.noise import Noise

__all__ = ["Coupling", "Solver", "VelocityField"]

VelocityField = Callable[[Tensor, Tensor], Tensor]
"""(scalar time, state) -> velocity of the state's shape."""


class Solver(ABC):
    """Integrates dz/dt = v(t, z) from t = 1 (noise) to t = 0 (data)."""

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
    """Pairs noise with data before the path between them is drawn, one block of each row at once.

    A sampler draws noise without regard to anything, so a pairing may exchange noise between the
    rows of a batch, never change it or move it to other positions.
    """

    @abstractmethod
    def pair(self, data: Tensor, noise: Tensor, mask: Tensor, draws: Noise) -> Tensor:
        """The noise, rearranged to belong to the data.

        Args:
            data: (batch, block, dim).
            noise: (batch, block, dim).
            mask: (batch, block) bool, positions that count.
            draws: keyed draws for a random pairing.
        """
