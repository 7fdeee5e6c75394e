"""Diffusion head: a small MLP carries noise to one latent, trained by flow matching.

References:
    Autoregressive Image Generation without Vector Quantization (MAR; Li et al., 2024),
    https://arxiv.org/abs/2406.11838; Flow Matching (Lipman et al., 2023),
    https://arxiv.org/abs/2210.02747.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from colaflex.interfaces.component import Builder
from colaflex.interfaces.noise import Noise, SampleNoise
from colaflex.interfaces.schedule import Schedule
from colaflex.networks.conditioning import TimeEmbedding
from colaflex.priors.density_config import DiffusionConfig
from colaflex.priors.heads.head import Head
from colaflex.priors.heads.mlp import ConditionedMLP

__all__ = ["Diffusion"]


class Diffusion(Head):
    """v(z_t, t; state) regressed on ε − z₀, followed by Euler's method from noise to latent."""

    term = "flow"

    def __init__(
        self, config: DiffusionConfig, *, width: int, latent_dim: int, build: Builder
    ) -> None:
        super().__init__()
        self.schedule: Schedule = build(config.schedule, latent_dim=latent_dim)
        self.config, self.latent_dim = config, latent_dim
        self.time = TimeEmbedding(1, config.width)
        self.condition = nn.Linear(width, config.width)
        self.mlp = ConditionedMLP(latent_dim, latent_dim, config.width, config.layers)
        nn.init.zeros_(self.mlp.output.weight)
        nn.init.zeros_(self.mlp.output.bias)

    def velocity(self, points: Tensor, times: Tensor, conditions: Tensor) -> Tensor:
        """The velocity at points (..., dim), times (..., 1), conditions (..., width)."""
        moved: Tensor = self.mlp(points, conditions + self.time(times))
        return moved.to(points.dtype)

    def losses(self, states: Tensor, targets: Tensor, noise: Noise) -> Tensor:
        """Squared error of the velocity, mean over channels and noisings."""
        config, (batch, positions, dim) = self.config, targets.shape
        shape = (batch, config.noisings, positions, dim)
        data = targets[:, None]
        eps = noise.normal("head noise", shape, targets)
        times = self.schedule.draw(noise, (*shape[:3], 1), targets, "head times")
        conditions = self.condition(states)[:, None]
        predicted = self.velocity(torch.lerp(data.expand_as(eps), eps, times), times, conditions)
        return (predicted - (eps - data)).square().mean((1, 3))

    def sample(self, state: Tensor, noise: SampleNoise, position: int, steps: int) -> Tensor:
        """Euler's method in `steps` equal intervals."""
        point = noise.normal(f"latent {position}", (self.latent_dim,), state)
        condition = self.condition(state)
        for step in range(steps, 0, -1):
            time = point.new_full((1, 1), step / steps)
            point = point - self.velocity(point, time, condition) / steps
        return point

    def evaluations(self, steps: int) -> int:
        """One a solver step."""
        return steps

    def flops(self, latents: int) -> int:
        """Model FLOPs of all noisings; the state is projected once."""
        noised = latents * self.config.noisings
        time = sum(p.numel() for p in self.time.parameters() if p.dim() == 2)
        return self.mlp.flops(noised) + 2 * (
            noised * time + latents * self.condition.weight.numel()
        )
