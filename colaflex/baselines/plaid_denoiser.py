"""The denoiser of `plaid`: noisy embeddings in, a distribution over each token out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from colaflex.baselines.noise_schedule import signal_and_noise
from colaflex.interfaces.network import Network
from colaflex.interfaces.one_line import one_line

__all__ = ["Denoiser", "Points", "conditioning"]

PLACE_SIZE = 0.3
"""Standard deviation of the places at first, about that of what embeddings are lifted to."""


@dataclass(frozen=True)
class Points:
    """Blocks of embeddings, (rows, blocks, block, ...), as the denoiser sees them.

    Attributes:
        values: (..., dim) float64, noisy, clean where of the prompt, 0 where unknown.
        gamma: (rows or 1, blocks or 1), -log SNR of what is noisy.
        prompt: (...) bool, positions of a prompt.
        unknown: (...) bool, positions of which nothing is seen, and nothing learned.
        opens: (rows or 1, blocks) bool, blocks that open a document.
    """

    values: Tensor
    gamma: Tensor
    prompt: Tensor
    unknown: Tensor
    opens: Tensor

    __repr__ = one_line

    @property
    def noisy(self) -> Tensor:
        """Positions that are neither of the prompt nor unknown."""
        return ~(self.prompt | self.unknown)

    def rows(self, chosen: Tensor) -> Points:
        """Some of the rows."""
        return Points(
            self.values[chosen], self.gamma[chosen], self.prompt[chosen], self.unknown[chosen],
            self.opens,
        )  # fmt: skip


class Denoiser(nn.Module):
    """Learned embeddings, a network over noisy ones, and a head over the vocabulary.

    Args:
        size: tokens of the vocabulary.
        dim: channels of an embedding.
        block: positions of a block.
        network: the backbone.
    """

    def __init__(self, size: int, dim: int, block: int, network: Network) -> None:
        super().__init__()
        self.embedding = nn.Embedding(size, dim)
        self.lift = nn.Linear(2 * dim, network.width)
        self.marks = nn.Embedding(3, network.width)  # prompt, unknown, opening
        # Attention knows how far apart positions are; in pure noise nothing tells where they are.
        self.places = nn.Embedding(block, network.width)
        nn.init.normal_(self.places.weight, std=PLACE_SIZE)
        self.network = network
        self.head = nn.Linear(network.width, size)
        for start in (self.marks.weight, self.head.weight, self.head.bias):
            nn.init.zeros_(start)  # at first, the guess is that of the noise alone

    def table(self) -> Tensor:
        """(size, dim) float64: every token's embedding, of mean square 1."""
        weight = self.embedding.weight.double()
        unit: Tensor = functional.normalize(weight, dim=-1)
        return unit * math.sqrt(weight.shape[-1])

    def clean(self, tokens: Tensor, table: Tensor) -> Tensor:
        """(..., dim) float64 embeddings of tokens, from `table()`."""
        return functional.embedding(tokens, table)

    def past(self, clean: Tensor) -> Any:
        """The network's history of whole documents, (rows, blocks, block, dim) clean."""
        lifted = self.lifted(clean[:, :-1])
        return self.network.commit(lifted, self.network.begin(len(clean), lifted))

    def lifted(self, values: Tensor, estimate: Tensor | None = None) -> Tensor:
        """(..., block, dim) -> (..., block, width), with an earlier guess of each position."""
        joined = torch.cat([values, torch.zeros_like(values) if estimate is None else estimate], -1)
        lifted: Tensor = self.lift(joined.to(self.lift.weight.dtype)) + self.places.weight
        return lifted

    def read(self, points: Points, estimate: Tensor | None = None) -> Tensor:
        """What the network reads of points, (rows, blocks, block, width)."""
        if estimate is not None:
            estimate = torch.where(points.noisy[..., None], estimate, 0.0)
        marks = torch.stack(
            [points.prompt, points.unknown, points.opens[..., None].expand_as(points.prompt)], -1
        )
        return (
            self.lifted(points.values, estimate) + marks.to(self.marks.weight) @ self.marks.weight
        )

    def log_probs(
        self,
        points: Points,
        table: Tensor,
        past: Any,
        blind: Tensor | None = None,
        estimate: Tensor | None = None,
    ) -> Tensor:
        """(rows, blocks, block, size) log p(token | points), every block at once.

        Args:
            points: what is seen.
            table: from `table()`.
            past: from `past()`.
            blind: (rows,) bool, rows that see no earlier blocks.
            estimate: (rows, blocks, block, dim) of the embeddings, an earlier guess.
        """
        times = conditioning(points.gamma).to(self.lift.weight.dtype)
        pinned = points.prompt if bool(points.prompt.any()) else None
        states = self.network.parallel(
            self.read(points, estimate), times[..., None], past, pinned, blind
        )
        return self.from_states(states, points, table)

    def from_states(self, states: Tensor, points: Points, table: Tensor) -> Tensor:
        """log p(token | points) from the network's states.

        To the head's logits is added what z alone says of each token, log N(z; alpha e, sigma² I),
        up to a constant, as all embeddings are equally long.
        """
        logits = self.head(states)
        with torch.autocast(states.device.type, enabled=False):
            # At least fp32: softmax is never computed in bf16.
            logits = logits.to(torch.promote_types(self.head.weight.dtype, torch.float32))
            alpha, sigma = signal_and_noise(points.gamma)
            weight = torch.where(points.noisy, (alpha / sigma**2)[..., None], 0.0)
            evidence = (weight[..., None] * points.values).to(logits.dtype)
            both: Tensor = (logits + evidence @ table.T.to(logits.dtype)).log_softmax(-1)
        return both

    @staticmethod
    def guess(log_probs: Tensor, table: Tensor) -> Tensor:
        """(..., dim) float64 expected embeddings, Σ p(token) e(token)."""
        with torch.autocast(log_probs.device.type, enabled=False):
            expected: Tensor = (log_probs.exp() @ table.to(log_probs.dtype)).double()
        return expected


def conditioning(gamma: Tensor) -> Tensor:
    """The time that the network is conditioned on, sigma / (alpha + sigma), without gradient.

    Of the best guess no gradient by the time would be left on average, and through the network's
    sinusoids of the time it is very noisy.
    """
    return torch.sigmoid(gamma.detach() / 2)
