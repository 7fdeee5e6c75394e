"""Energy head: an MLP turns noise into a latent, trained by the energy score.

References:
    CALM (Shao et al., 2025), section 3, https://arxiv.org/abs/2510.27688; Strictly Proper Scoring
    Rules (Gneiting and Raftery, 2007), section 4.3, https://doi.org/10.1198/016214506000001437.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from colaflex.interfaces.component import Builder
from colaflex.interfaces.noise import Noise, SampleNoise
from colaflex.priors.density_config import EnergyConfig
from colaflex.priors.heads.head import Head
from colaflex.priors.heads.mlp import ConditionedMLP

__all__ = ["Energy", "energy_score"]

TINY = 1e-12
"""Added to squared distances, whose root has no gradient at 0."""


def energy_score(samples: Tensor, target: Tensor, beta: float = 1.0) -> Tensor:
    """2 E|x − y|^β − E|x − x'|^β, unbiased; strictly proper for 0 < β < 2, lower is better.

    Args:
        samples: (samples, ..., dim), at least two.
        target: (..., dim).
        beta: power of the Euclidean distances.

    Returns:
        (...), its expectation least where samples and target have the same distribution.
    """
    n = len(samples)
    first, second = torch.triu_indices(n, n, 1, device=samples.device)
    apart = _distance(samples[first] - samples[second], beta).mean(0)
    return 2 * _distance(samples - target, beta).mean(0) - apart


def _distance(difference: Tensor, beta: float) -> Tensor:
    return (difference.square().sum(-1) + TINY) ** (beta / 2)


class Energy(Head):
    """z = G(u; state) with uniform noise u: one evaluation, no likelihood."""

    term = "energy"

    def __init__(
        self, config: EnergyConfig, *, width: int, latent_dim: int, build: Builder
    ) -> None:
        super().__init__()
        del build
        self.config = config
        self.condition = nn.Linear(width, config.width)
        self.mlp = ConditionedMLP(config.noise_dim, latent_dim, config.width, config.layers)

    def generate(self, uniform: Tensor, conditions: Tensor) -> Tensor:
        """Latents (..., dim) from uniform noise in [0, 1), (..., noise_dim)."""
        out: Tensor = self.mlp(uniform - 0.5, conditions)
        return out.to(uniform.dtype)

    def losses(self, states: Tensor, targets: Tensor, noise: Noise) -> Tensor:
        """Energy score of `samples` samples."""
        config, (batch, positions, _) = self.config, targets.shape
        shape = (batch, config.samples, positions, config.noise_dim)
        uniform = noise.uniform("head noise", shape, targets).transpose(0, 1)
        samples = self.generate(uniform, self.condition(states))
        return energy_score(samples, targets, config.beta)

    def sample(self, state: Tensor, noise: SampleNoise, position: int, steps: int) -> Tensor:
        """One draw of the noise."""
        del steps
        uniform = noise.uniform(f"latent {position}", (self.config.noise_dim,), state)
        return self.generate(uniform, self.condition(state))

    def flops(self, latents: int) -> int:
        """Model FLOPs of all samples; the state is projected once."""
        samples = latents * self.config.samples
        return self.mlp.flops(samples) + 2 * latents * self.condition.weight.numel()
