"""Small priors and their samples, for tests against the kit's known distributions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import colaflex
from colaflex.interfaces.options import SamplingOptions
from colaflex.testing.toys import (
    GAUSSIAN_COVARIANCE,
    GAUSSIAN_MEAN,
    Sampler,
    chain,
    energy_distance,
    fit,
    gaussian,
    mixture,
)

__all__ = [
    "GAUSSIAN_COVARIANCE",
    "GAUSSIAN_MEAN",
    "Sampler",
    "chain",
    "energy_distance",
    "fit",
    "gaussian",
    "generator",
    "mixture",
    "sampled",
    "small_prior",
]


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


def sampled(prior: Any, rows: int, blocks: int = 1, seed: int = 1, **options: Any) -> Tensor:
    return prior.sample(rows, blocks, SamplingOptions(**options), seed)
