"""A small sound prior with an exact density, and three whose densities are wrong."""

# ruff: noqa: ANN001  what overrides a method has the types of what it overrides

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from broken.chain_config import ChainConfig
from torch import Tensor, nn

from colaflex.interfaces.losses import LossTerm
from colaflex.interfaces.prior import Prior


@dataclass(frozen=True)
class Last:
    values: Tensor


class Chain(Prior):
    """z_{i+1} = a z_i + b + exp(s) noise, channel by channel; z_0 = 0."""

    def __init__(self, config: ChainConfig, *, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim, self.block_size = latent_dim, config.block_size
        self.slope, self.shift, self.log_scale = (
            nn.Parameter(torch.full((latent_dim,), value)) for value in (0.1, 0.0, 0.0)
        )

    def logs(self, values: Tensor) -> Tensor:
        before = nn.functional.pad(values[:, :-1], (0, 0, 1, 0))
        residual = (values - self.slope * before - self.shift) * torch.exp(-self.log_scale)
        return (-0.5 * residual.square() - self.log_scale - 0.5 * math.log(2 * math.pi)).sum(-1)

    def losses(self, latents, noise=None):
        return {"nll": LossTerm(-self.logs(latents.values)[latents.mask].sum(), "latents")}

    def log_prob(self, latents):
        return torch.where(latents.mask, self.logs(latents.values), 0.0).sum(1)

    def training_flops(self, batch, segments):
        return 12 * batch * segments * self.latent_dim

    def begin(self, rows):
        return Last(self.shift.new_zeros(rows, self.latent_dim))

    def commit(self, state, latents, counts=None):
        if counts is None:
            return Last(latents[:, -1])
        index = (counts - 1).clamp(min=0)[:, None, None].expand(-1, 1, self.latent_dim)
        last = latents.gather(1, index)[:, 0]
        return Last(torch.where(counts[:, None] > 0, last, state.values))

    def select(self, state, rows):
        return Last(state.values[rows])

    def sample_block(self, state, noise, options, known=None):
        drawn = noise.normal("chain", (self.block_size, self.latent_dim), self.shift)
        last, made = state.values, []
        for i in range(self.block_size):
            last = self.slope * last + self.shift + self.log_scale.exp() * drawn[:, i]
            if known is not None:
                last = torch.where(known.mask[:, i, None], known.values[:, i], last)
            made.append(last)
        return torch.stack(made, 1)

    def network_evaluations(self, options):
        return 0


class DensityOffByAConstant(Chain):
    def log_prob(self, latents):
        return super().log_prob(latents) + 0.2 * latents.mask.sum(1)


class DensityCountsPadding(Chain):
    def log_prob(self, latents):
        return self.logs(latents.values).sum(1)


class DensityForgetsItsJacobian(Chain):
    def log_prob(self, latents):
        return super().log_prob(latents.with_values(0.9 * latents.values))


class DensityHasBatchStatistics(Chain):
    def log_prob(self, latents):
        found = super().log_prob(latents)
        return found - found.mean()


FAULTS = {
    DensityOffByAConstant: ("prior.integrates", "integrates to 1.2"),
    DensityCountsPadding: ("prior.density", "don't count"),
    DensityForgetsItsJacobian: ("prior.integrates", "integrates to"),
    DensityHasBatchStatistics: ("prior.density", "alone and among others"),
}
