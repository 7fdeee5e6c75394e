"""Mixture head: a mixture of Gaussians of diagonal covariance, with its exact density.

References:
    Mixture Density Networks (Bishop, 1994), https://publications.aston.ac.uk/id/eprint/373/;
    GIVT (Tschannen et al., 2023), https://arxiv.org/abs/2312.02116, for latents.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from colaflex.interfaces.component import Builder
from colaflex.interfaces.noise import Noise, SampleNoise
from colaflex.priors.density_config import MixtureConfig
from colaflex.priors.heads.head import Head

__all__ = ["GaussianMixture"]


class GaussianMixture(Head):
    """p(z | state) = Σ_k w_k N(z; μ_k, diag σ_k²), all linear in the state but for the link."""

    term = "nll"

    def __init__(
        self, config: MixtureConfig, *, width: int, latent_dim: int, build: Builder
    ) -> None:
        super().__init__()
        del build
        self.config, self.latent_dim = config, latent_dim
        self.weights = nn.Linear(width, config.components)
        self.means = nn.Linear(width, config.components * latent_dim)
        self.deviations = nn.Linear(width, config.components * latent_dim)
        for layer in (self.weights, self.means, self.deviations):
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)
        # Means spread as the latents are, or all components would learn the same.
        nn.init.normal_(self.means.bias)

    def mixture(self, states: Tensor, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log weights (..., components), means and deviations (..., components, dim)."""
        logits, means, raw = (
            layer(states).to(like.dtype) for layer in (self.weights, self.means, self.deviations)
        )
        deviations = self.config.smallest_deviation + functional.softplus(raw)
        shape = (self.config.components, self.latent_dim)
        return logits.log_softmax(-1), means.unflatten(-1, shape), deviations.unflatten(-1, shape)

    def log_prob(self, states: Tensor, targets: Tensor) -> Tensor:
        """(batch, positions) log density in nats."""
        weights, means, deviations = self.mixture(states, targets)
        white = (targets[..., None, :] - means) / deviations
        normal = 0.5 * white.square() + deviations.log() + 0.5 * math.log(2 * math.pi)
        return (weights - normal.sum(-1)).logsumexp(-1)

    def losses(self, states: Tensor, targets: Tensor, noise: Noise) -> Tensor:
        """Negative log density in nats."""
        del noise
        return -self.log_prob(states, targets)

    def sample(self, state: Tensor, noise: SampleNoise, position: int, steps: int) -> Tensor:
        """A component, then a draw from it."""
        del steps
        temperature = self.config.temperature
        weights, means, deviations = self.mixture(state, state)
        share = (weights / temperature).softmax(-1).cumsum(-1)
        chosen = noise.uniform(f"component {position}", (1,), state)
        index = (share < chosen).sum(-1).clamp(max=weights.shape[-1] - 1)
        drawn = noise.normal(f"latent {position}", (self.latent_dim,), state)
        rows = torch.arange(len(state), device=state.device)
        return torch.addcmul(means[rows, index], deviations[rows, index], temperature**0.5 * drawn)

    def flops(self, latents: int) -> int:
        """Model FLOPs of the linear maps."""
        return 2 * latents * sum(p.numel() for p in self.parameters() if p.dim() == 2)
