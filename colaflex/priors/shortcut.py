"""Shortcut models: the network knows its step, and a step is worth two of half its length.

References:
    One Step Diffusion via Shortcut Models (Frans et al., 2024), https://arxiv.org/abs/2410.12557.
"""

from __future__ import annotations

import torch
from torch import Tensor

from colaflex.interfaces.noise import Noise
from colaflex.interfaces.solver import VelocityField
from colaflex.priors.average_velocity import AverageVelocity
from colaflex.priors.block_sampling import Draw
from colaflex.priors.few_step_config import ShortcutConfig
from colaflex.priors.path import Path, Predict

__all__ = ["Shortcut"]


class Shortcut(AverageVelocity):
    """Flow matching at d = 0, self-consistency at d = 1, 1/2, 1/4, ..., t a multiple of d."""

    config: ShortcutConfig

    @property
    def shortest(self) -> float:
        """The step at and below which the network is asked for the velocity itself, d = 0."""
        return 2.0**-self.config.halvings

    def draw_spans(self, noise: Noise, samples: int, data: Tensor) -> tuple[Tensor, Tensor]:
        """Each d twice the shortest or longer, and each multiple t of it, with equal chances."""
        draws = noise.uniform("shortcut", (data.shape[0], samples, data.shape[1], 2), data)
        level, place = draws.transpose(0, 1).flatten(0, 1).unbind(-1)
        spans = torch.exp2(-torch.floor(level * self.config.halvings))
        return spans * (1.0 + torch.floor(place / spans)), spans

    @torch.no_grad()
    def target(self, path: Path, spans: Tensor, predict: Predict) -> Tensor:
        """The mean of two steps of half the length, one after the other.

        Of the shortest, which follow the velocity itself, they are guided; longer ones learn it.
        """
        half = spans / 2
        steps = torch.where(half > self.shortest, half, 0.0)
        point = path.point()

        def step(points: Tensor, times: Tensor) -> Tensor:
            both = torch.stack([times, steps], -1)
            predicted = predict(points, both)
            guided = self.guided(predicted, path, points, both)
            return torch.where((steps > 0)[..., None, None], predicted, guided)

        first = step(point, path.times)
        there = path.pin(point - half[..., None, None] * first)
        second = step(there, path.times - half)
        limit = self.config.target_limit
        return ((first + second) / 2).clamp(-limit, limit)

    def grid(self, steps: int) -> list[float]:
        """Steps of the lengths that were learned: 2^k equal ones, and halves of the last few.

        The halves are near the data, and more than 2^halvings steps are equal ones.
        """
        if steps >= 2**self.config.halvings:
            return super().grid(steps)
        whole = 1 << (steps.bit_length() - 1)
        halved = steps - whole
        times = [1.0 - step / whole for step in range(whole - halved)]
        return times + [step / (2 * whole) for step in range(2 * halved, -1, -1)]

    def descend(self, field: VelocityField, draw: Draw, steps: int) -> Tensor:
        """As the base does; the shortest steps ask for the velocity itself."""

        def velocity(both: Tensor, points: Tensor) -> Tensor:
            time, span = both.unbind()
            return field(torch.stack([time, torch.where(span > self.shortest, span, 0.0)]), points)

        return super().descend(velocity, draw, steps)
