"""Distributions that are known in closed form, small priors, and a plain training loop."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import colaflex
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.options import SamplingOptions
from colaflex.interfaces.values import LatentBatch

Sampler = Callable[[int, torch.Generator], Tensor]
"""(rows, generator) -> (rows, segments, dim)."""


def small_prior(name: str, latent_dim: int, block_size: int = 1, **options: Any) -> Any:
    """A prior of two layers of width 64, the same at every call."""
    shape = {"width": 64, "layers": 2, "heads": 2, "time_width": 64}
    network = {"type": "block_causal", **shape, **options.pop("network", {})}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return colaflex.build(
            "prior", name, latent_dim=latent_dim, block_size=block_size, network=network, **options
        )


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def mixture(rows: int, draws: torch.Generator) -> Tensor:
    """Three Gaussians of deviation 0.25 around (1.2, 0), (-0.6, 1), (-0.6, -1); weights 1:1:2."""
    centres = torch.tensor([[1.2, 0.0], [-0.6, 1.0], [-0.6, -1.0]])
    which = torch.multinomial(torch.tensor([1.0, 1.0, 2.0]), rows, True, generator=draws)
    return (centres[which] + 0.25 * torch.randn(rows, 2, generator=draws))[:, None]


GAUSSIAN_MEAN = torch.linspace(-0.7, 0.7, 8)
GAUSSIAN_COVARIANCE = 0.8 ** (torch.arange(8) - torch.arange(8)[:, None]).abs() * torch.outer(
    torch.linspace(0.6, 1.3, 8), torch.linspace(0.6, 1.3, 8)
)


def gaussian(rows: int, draws: torch.Generator) -> Tensor:
    """8-D, neighbouring channels correlated by 0.8; two latents of four channels."""
    root = torch.linalg.cholesky(GAUSSIAN_COVARIANCE)
    drawn = GAUSSIAN_MEAN + torch.randn(rows, 8, generator=draws) @ root.T
    return drawn.view(rows, 2, 4)


def fit(prior: Any, toy: Sampler, steps: int, rows: int = 256, rate: float = 6e-3) -> Any:
    """Train the phases of a prior one after the other, each with a cosine schedule."""
    for phase in prior.phases(teacher_fraction=0.5):
        phase.start()
        count = max(1, round(steps * phase.share))
        optimizer = torch.optim.AdamW(phase.parameters, lr=rate, betas=(0.9, 0.99))
        for step in range(count):
            for group in optimizer.param_groups:
                group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * step / count))
            data = toy(rows, generator(10_000 + step))
            latents = LatentBatch(data, torch.ones(data.shape[:2], dtype=torch.bool))
            terms = phase.losses(latents, Noise(0, step, phase.name, steps=count))
            optimizer.zero_grad()
            sum(term.weight * term.total for term in terms.values()).div(rows).backward()
            optimizer.step()
    return prior


def sampled(prior: Any, rows: int, blocks: int = 1, seed: int = 1, **options: Any) -> Tensor:
    return prior.sample(rows, blocks, SamplingOptions(**options), seed)


def energy_distance(x: Tensor, y: Tensor) -> float:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'|, unbiased."""
    within = [torch.pdist(z.double()).mean() for z in (x, y)]
    return float(2 * torch.cdist(x.double(), y.double()).mean() - within[0] - within[1])
