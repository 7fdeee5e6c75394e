"""Distributions known in closed form, for priors to be trained on and held against; a trainer."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from colaflex.interfaces.noise import Noise
from colaflex.interfaces.prior import Prior
from colaflex.interfaces.values import LatentBatch
from colaflex.testing.probes import objective

__all__ = ["TOYS", "Toy", "energy_distance", "fit", "fit_batches"]

Sampler = Callable[[int, torch.Generator], Tensor]
"""(rows, generator) -> (rows, segments, dim)."""


@dataclass(frozen=True, slots=True)
class Toy:
    """A known distribution of rows of latents.

    Args:
        sample: draws rows, (rows, blocks * block_size, dim).
        log_prob: of such rows, (rows,), nats.
        dim: channels of a latent.
        block_size: latents of a block.
        blocks: of a row.

    Example:
        >>> toy = TOYS["chain"]
        >>> rows = toy.sample(100, torch.Generator().manual_seed(0))
        >>> rows.shape, toy.log_prob(rows).shape
        (torch.Size([100, 2, 1]), torch.Size([100]))
    """

    sample: Sampler
    log_prob: Callable[[Tensor], Tensor]
    dim: int
    block_size: int
    blocks: int


MIXTURE = MixtureSameFamily(
    Categorical(torch.tensor([1.0, 1.0, 2.0])),
    MultivariateNormal(
        torch.tensor([[1.2, 0.0], [-0.6, 1.0], [-0.6, -1.0]]), 0.25**2 * torch.eye(2)
    ),
)


def mixture(rows: int, draws: torch.Generator) -> Tensor:
    """Three Gaussians of deviation 0.25 around (1.2, 0), (-0.6, 1), (-0.6, -1); weights 1:1:2."""
    centres = MIXTURE.component_distribution.mean
    which = torch.multinomial(MIXTURE.mixture_distribution.probs, rows, True, generator=draws)
    return (centres[which] + 0.25 * torch.randn(rows, 2, generator=draws))[:, None]


GAUSSIAN_MEAN = torch.linspace(-0.7, 0.7, 8)
GAUSSIAN_COVARIANCE = 0.8 ** (torch.arange(8) - torch.arange(8)[:, None]).abs() * torch.outer(
    torch.linspace(0.6, 1.3, 8), torch.linspace(0.6, 1.3, 8)
)


def gaussian(rows: int, draws: torch.Generator) -> Tensor:
    """8-D, neighbouring channels correlated by 0.8; two latents of four channels."""
    root = torch.linalg.cholesky(GAUSSIAN_COVARIANCE)
    drawn: Tensor = GAUSSIAN_MEAN + torch.randn(rows, 8, generator=draws) @ root.T
    return drawn.view(rows, 2, 4)


def chain(rows: int, draws: torch.Generator) -> Tensor:
    """Two blocks of one number: z_1 standard normal, z_2 = 0.9 z_1 and noise of deviation 0.3."""
    first = torch.randn(rows, 1, generator=draws)
    second = 0.9 * first + 0.3 * torch.randn(rows, 1, generator=draws)
    return torch.stack([first, second], 1)


def _law(mean: Tensor, covariance: Tensor) -> Callable[[Tensor], Tensor]:
    law = MultivariateNormal(mean, covariance)

    def log_prob(values: Tensor) -> Tensor:
        nats: Tensor = law.log_prob(values.flatten(1))
        return nats

    return log_prob


TOYS = {
    "mixture": Toy(mixture, lambda values: MIXTURE.log_prob(values.flatten(1)), 2, 1, 1),
    "gaussian": Toy(gaussian, _law(GAUSSIAN_MEAN, GAUSSIAN_COVARIANCE), 4, 2, 1),
    "chain": Toy(chain, _law(torch.zeros(2), torch.tensor([[1.0, 0.9], [0.9, 0.9]])), 1, 1, 2),
}


def fit(prior: Any, toy: Sampler, steps: int, rows: int = 256, rate: float = 6e-3) -> Any:
    """Train the phases of a prior one after the other, each with a cosine schedule.

    Args:
        prior: trained in place, and returned.
        toy: what it sees, drawn anew for every step.
        steps: of all phases.
        rows: of a step.
        rate: AdamW's, at the start of each phase, times the phase's own factor.

    Example:
        >>> toy = TOYS["chain"]
        >>> prior = colaflex.build("prior", "gaussian", latent_dim=1, block_size=1)
        >>> fit(prior, toy.sample, steps=2, rows=64) is prior
        True
    """

    def batch(step: int) -> LatentBatch:
        data = toy(rows, torch.Generator().manual_seed(10_000 + step))
        return LatentBatch(data, torch.ones(data.shape[:2], dtype=torch.bool))

    fit_batches(prior, batch, steps, rate)
    return prior


def fit_batches(prior: Prior, batch: Callable[[int], LatentBatch], steps: int, rate: float) -> None:
    """Train the phases of a prior in place.

    Args:
        prior: what learns.
        batch: of a step of each phase.
        steps: of all phases.
        rate: AdamW's, at the start of each phase, times the phase's own factor.

    Raises:
        Fault: a loss is no scalar or not finite.
    """
    for phase in prior.phases(teacher_fraction=0.5):
        phase.start()
        count = max(1, round(steps * phase.share))
        learned = list(phase.parameters)
        optimizer = torch.optim.AdamW(learned, rate, (0.9, 0.99)) if learned else None
        for step in range(count):
            latents = batch(step)
            loss = objective(phase.losses(latents, Noise(0, step, phase.name, steps=count)))
            if optimizer is None or not loss.requires_grad:
                continue  # it learns by what its losses have seen
            for group in optimizer.param_groups:
                cosine = 0.5 * (1 + math.cos(math.pi * step / count))
                group["lr"] = rate * phase.lr_ratio * cosine
            (loss / len(latents.values)).backward()
            optimizer.step()
            optimizer.zero_grad()
            phase.stepped(step)


def energy_distance(x: Tensor, y: Tensor) -> float:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'|, unbiased; of (rows, dim) and (rows, dim).

    Example:
        >>> draws = torch.Generator().manual_seed(0)
        >>> one, two = (TOYS["mixture"].sample(200, draws)[:, 0] for _ in range(2))
        >>> energy_distance(one, two) < 0.1 < energy_distance(one, two + 1)
        True
    """
    within = [torch.pdist(z.double()).mean() for z in (x, y)]
    return float(2 * torch.cdist(x.double(), y.double()).mean() - within[0] - within[1])
