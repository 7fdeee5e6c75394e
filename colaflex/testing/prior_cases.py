"""Small priors, what is fed to them, and a distribution that a fit must recover."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from colaflex.interfaces.noise import SampleNoise
from colaflex.interfaces.options import SamplingOptions
from colaflex.interfaces.prior import Known, Prior
from colaflex.interfaces.values import LatentBatch
from colaflex.testing.probes import drawn, shake
from colaflex.testing.subject import Subject
from colaflex.testing.toys import fit_batches

__all__ = [
    "BLOCKS",
    "DIM",
    "MEAN",
    "ROWS",
    "SPREAD",
    "Case",
    "batch",
    "entropy",
    "keys",
    "known",
    "latents",
    "toy",
]

ROWS, BLOCKS, DIM = 4, 3, 2

MEAN, SPREAD, MEMORY = 1.0, 0.5, 0.8
"""The toy: each channel a Gaussian chain; neighbouring positions are correlated by MEMORY."""

FIT_STEPS, FIT_ROWS, FIT_RATE = 90, 128, 1e-2


@dataclass(frozen=True)
class Case:
    """A prior under test: how it is built, sampled and fitted, and how exactly it repeats.

    Attributes:
        subject: the component.
    """

    subject: Subject

    @property
    def options(self) -> SamplingOptions:
        """As few steps as are useful, two at least."""
        return SamplingOptions(max(2, int(self.subject.capabilities.fewest_steps)))

    @property
    def guided(self) -> SamplingOptions:
        """The same with guidance, where there is any."""
        guidance = 1.5 if self.subject.capabilities.guidance else 1.0
        return SamplingOptions(self.options.steps, guidance)

    @property
    def adaptive(self) -> bool:
        """Whether the solver chooses its steps, by the batch as a whole."""
        prior: Prior = self.subject.once("prior", lambda: self.fresh())
        return prior.network_evaluations(self.options) is None

    @property
    def tolerance(self) -> float:
        """In float64: rounding, or what an adaptive solver is allowed."""
        return 1e-3 if self.adaptive else 1e-9

    def fresh(self, double: bool = True, **options: object) -> Prior:
        """A new prior with its first weights."""
        config = self.subject.with_options(**options) if options else None
        prior: Prior = self.subject.build(config, latent_dim=DIM)
        return prior.double() if double else prior.float()

    def shaken(self, double: bool = True, scale: float = 0.1, **options: object) -> Prior:
        """A prior whose weights are all random."""
        prior = self.fresh(False, **options)
        shake(prior, scale)
        return prior.double() if double else prior

    def fitted(self) -> Prior:
        """A prior after a short fit to the toy, shared by the checks."""
        return self.subject.once("fitted", self._fit)

    def candidates(self) -> list[Prior]:
        """One with random weights, and a fitted one: what matters must matter to one of them."""
        return [self.shaken(), self.fitted()]

    def _fit(self) -> Prior:
        def data(step: int) -> LatentBatch:
            return batch(toy(FIT_ROWS, prior.block_size, seed=1000 + step).float())

        prior = self.fresh(False)
        fit_batches(prior, data, FIT_STEPS, FIT_RATE)
        return prior.double()


def latents(prior: Prior, blocks: int = BLOCKS, rows: int = ROWS, seed: int = 2) -> Tensor:
    """(rows, blocks · block, DIM) standard-normal, in float64."""
    return drawn(rows, blocks * prior.block_size, DIM, seed=seed)


def batch(values: Tensor, block: int = 1, blocks: Sequence[int] | None = None) -> LatentBatch:
    """Latents of which each row has so many whole blocks; all of them by default."""
    mask = torch.ones(values.shape[:2], dtype=torch.bool)
    if blocks is not None:
        mask = torch.arange(values.shape[1]) < block * torch.tensor(blocks)[:, None]
    return LatentBatch(values, mask)


def keys(rows: Sequence[int] = range(ROWS), seed: int = 0) -> SampleNoise:
    """A key for each row."""
    return SampleNoise(tuple(f"check {seed}/{row}" for row in rows))


def known(values: Tensor, block: int, counts: Sequence[int]) -> Known:
    """The first positions of a block given, so many in each row."""
    return Known(values[:, :block], torch.arange(block) < torch.tensor(counts)[:, None])


def toy(rows: int, block: int, seed: int, blocks: int = 2) -> Tensor:
    """(rows, blocks · block, DIM): samples of the toy."""
    noise = drawn(rows, blocks * block, DIM, seed=seed)
    values: list[Any] = [noise[:, 0]]
    for position in range(1, noise.shape[1]):
        fresh = (1 - MEMORY**2) ** 0.5 * noise[:, position]
        values.append(MEMORY * values[-1] + fresh)
    return MEAN + SPREAD * torch.stack(values, 1)


def entropy(positions: int) -> float:
    """Of the toy's first positions, nats: that of the first, and what each adds given the last."""
    first = 0.5 * math.log(2 * math.pi * math.e * SPREAD**2)
    return DIM * (positions * first + (positions - 1) * 0.5 * math.log(1 - MEMORY**2))
