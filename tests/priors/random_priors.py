"""Priors with random weights, and random latents, prefixes and keys for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from toys import generator, small_prior

from colaflex.interfaces.noise import SampleNoise
from colaflex.interfaces.options import SamplingOptions
from colaflex.interfaces.prior import Known
from colaflex.interfaces.values import LatentBatch

DIM, BLOCK, BLOCKS, ROWS = 3, 4, 3, 5
PRIORS = ("flow_matching", "rectified_flow", "consistency", "shortcut", "mean_flow", "hybrid")
OPTIONS = SamplingOptions(steps=3, guidance=1.7)


def shaken(name: str = "flow_matching", double: bool = True, **options: Any) -> Any:
    """A prior whose weights are all random: zero-initialised gates would hide every mistake."""
    prior = small_prior(name, DIM, BLOCK, **options)
    draws = generator(1)
    with torch.no_grad():
        for parameter in prior.parameters():
            noise = torch.randn(parameter.shape, generator=draws)
            parameter.copy_(0.15 * noise + (parameter.ndim == 1) * parameter)
    return prior.double() if double else prior


def smooth(prior: Any) -> Any:
    """The same without the time's random features, which adaptive solvers would trace."""
    with torch.no_grad():
        prior.network.time.mlp[0].weight.zero_()
    return prior


def latents(rows: int = ROWS, blocks: int = BLOCKS, seed: int = 2, double: bool = True) -> Tensor:
    kind = torch.float64 if double else torch.float32
    return torch.randn(rows, blocks * BLOCK, DIM, generator=generator(seed)).to(kind)


def batch(values: Tensor, blocks: Any = None) -> LatentBatch:
    """Latents of which each row has so many whole blocks; all by default."""
    counts = torch.tensor(
        blocks if blocks is not None else [values.shape[1] // BLOCK] * len(values)
    )
    return LatentBatch(values, torch.arange(values.shape[1]) < BLOCK * counts[:, None])


def keys(rows: Any = range(ROWS)) -> SampleNoise:
    return SampleNoise(tuple(f"row {row}" for row in rows))


def prefix(prior: Any, values: Tensor, blocks: Any) -> Any:
    state = prior.begin(len(values))
    return prior.commit(state, values, BLOCK * torch.tensor(blocks))


def total(terms: Any) -> Tensor:
    return sum((term.weight * term.total for term in terms.values()), torch.zeros(()))


def known(values: Tensor, counts: Any) -> Known:
    return Known(values[:, :BLOCK], torch.arange(BLOCK) < torch.tensor(counts)[:, None])


def unconditional(prior: Any, rows: int) -> Any:
    """The branch that sees no history, though the block opens no document."""
    return replace(prior.begin(rows), lengths=torch.ones(rows, dtype=torch.int64))
