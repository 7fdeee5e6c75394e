"""Mean flows: average velocities learned from velocities, by an identity between the two.

References:
    Mean Flows for One-step Generative Modeling (Geng et al., 2025),
    https://arxiv.org/abs/2505.13447.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from colaflex.interfaces.component import Builder
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.schedule import Schedule
from colaflex.priors.average_velocity import AverageVelocity
from colaflex.priors.few_step_config import MeanFlowConfig
from colaflex.priors.path import Path, Predict, draw_times

__all__ = ["MeanFlow"]


class MeanFlow(AverageVelocity):
    """u = v - d · du/dt along the path, the end r = t - d held; the target is that of u itself."""

    config: MeanFlowConfig

    def __init__(self, config: MeanFlowConfig, *, latent_dim: int, build: Builder) -> None:
        super().__init__(config, latent_dim=latent_dim, build=build)
        self.pair_schedule: Schedule = build(config.pair_schedule, latent_dim=latent_dim)

    def draw_spans(self, noise: Noise, samples: int, data: Tensor) -> tuple[Tensor, Tensor]:
        """The larger of two times, and how far the other is."""
        schedule = self.pair_schedule
        one = draw_times(schedule, noise, samples, data, "mean flow times")
        other = draw_times(schedule, noise, samples, data, "mean flow ends")
        return torch.maximum(one, other), (one - other).abs()

    def target(self, path: Path, spans: Tensor, predict: Predict) -> Tensor:
        """v - d · du/dt, where z moves with v, t and d both with 1, and r stays."""
        return self.velocity(path) - spans[..., None, None] * self.derivative(path, spans, predict)

    def velocity(self, path: Path) -> Tensor:
        """The path's, guided if `taught_guidance` says so."""
        times = torch.stack([path.times, torch.zeros_like(path.times)], -1)
        return self.guided(path.velocity(), path, path.point(), times)

    @torch.no_grad()
    def derivative(self, path: Path, spans: Tensor, predict: Predict) -> Tensor:
        """du(z_t, t, t - r)/dt along the path, pinned positions at rest."""
        speed = self.velocity(path).masked_fill(path.masks.pinned[..., None], 0.0)
        point, times = path.point(), torch.stack([path.times, spans], -1)
        if self.config.derivative == "finite_difference":
            step = self.config.difference_step
            ahead = predict(point + step * speed, times + step)
            behind = predict(point - step * speed, times - step)
            return (ahead - behind) / (2 * step)
        # Fused attention has no forward mode.
        with sdpa_kernel(SDPBackend.MATH):
            moved: Tensor = torch.func.jvp(
                predict, (point, times), (speed, torch.ones_like(times))
            )[1]
        return moved

    @property
    def time_scale(self) -> float:
        """As the config says."""
        return self.config.time_scale

    def distance(self, error: Tensor, counted: Tensor) -> Tensor:
        """A function of each block's mean squared error e whose slope is the weight (e + c)^-p.

        Its gradient is that of e times the weight, the weight held; log(1 + e / c) for p = 1.
        """
        power, offset = self.config.weight_power, self.config.weight_offset
        squared = torch.where(counted, error.square().mean(-1), 0.0).sum(-1, keepdim=True)
        squared = (squared / counted.sum(-1, keepdim=True).clamp(min=1)).expand(counted.shape)
        if power == 1.0:
            return torch.log1p(squared / offset)
        distance: Tensor = ((squared + offset) ** (1 - power) - offset ** (1 - power)) / (1 - power)
        return distance
