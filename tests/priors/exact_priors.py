"""Small priors with exact densities, and their noise when it is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from toys import generator

import colaflex
from colaflex.interfaces.values import LatentBatch

EXACT = ("normalizing_flow", "autoregressive_flow")


def exact_prior(name: str, latent_dim: int, block_size: int = 1, **options: Any) -> Any:
    """A prior of one or two layers of width 32, the same at every call."""
    shape = {"width": 32, "layers": 2, "heads": 2}
    if name == "normalizing_flow":
        shape |= {"hidden_width": 48, "transforms": 2}
    else:
        shape |= {"flow_layers": 1}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return colaflex.build(
            "prior", name, latent_dim=latent_dim, block_size=block_size, **{**shape, **options}
        )


def random_weights(prior: Any, scale: float = 0.15, double: bool = True) -> Any:
    """The same with random weights everywhere, so that nothing is the identity."""
    draws = generator(1)
    with torch.no_grad():
        for parameter in prior.parameters():
            noise = torch.randn(parameter.shape, generator=draws)
            parameter.copy_(parameter + scale * noise)
    return prior.double() if double else prior


def whole(values: Tensor) -> LatentBatch:
    return LatentBatch(values, torch.ones(values.shape[:2], dtype=torch.bool))


@dataclass
class Given:
    """Draws that are given instead of drawn."""

    values: Tensor

    def normal(self, purpose: str, shape: Sequence[int], like: Tensor) -> Tensor:
        assert tuple(shape) == tuple(self.values.shape[1:]), purpose
        return self.values.to(like)
