"""Codes of latents: a learned codebook, and a model of the codes of a block.

References:
    "Neural-gas" network for vector quantization (Martinetz et al., 1993),
    https://doi.org/10.1109/72.238311, for the ranks that the codebook learns by; Neural Discrete
    Representation Learning (van den Oord et al., 2017), https://arxiv.org/abs/1711.00937, for a
    causal model of the codes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from colaflex.networks.causal import CausalTransformer

__all__ = ["CodeModel", "Codebook"]

NEAREST, FADING = 8, 0.1
"""Entries that a latent draws, and by how much less than the entry nearer than it each is drawn."""

SPEED = 8.0
"""Optimizers that take steps of one size for all weights move the entries so many times as far."""


class Codebook(nn.Module):
    """Points of the latent space, and how often each is the nearest.

    Attributes:
        places: (codes, dim), the entries over SPEED.
        usage: (codes,) log frequencies, but for a constant; learned to be reported.
    """

    def __init__(self, codes: int, dim: int) -> None:
        super().__init__()
        self.places = nn.Parameter(0.5 / SPEED * torch.randn(codes, dim))
        self.usage = nn.Parameter(torch.zeros(codes))

    @property
    def vectors(self) -> Tensor:
        """(codes, dim): the entries, in latent units."""
        return SPEED * self.places

    def forward(self, codes: Tensor) -> Tensor:
        """(...) codes -> (..., dim), without gradient: only `distortion` moves the entries."""
        return functional.embedding(codes, self.vectors.detach())

    @torch.no_grad()
    def nearest(self, latents: Tensor) -> Tensor:
        """(..., dim) -> (...) the code of the nearest entry."""
        return self._distances(latents).argmin(-1)

    def _distances(self, latents: Tensor) -> Tensor:
        """(..., codes) squared distances."""
        # A nearest entry that bf16 would miss is looked for in the weights' own precision.
        with torch.autocast(latents.device.type, enabled=False):
            entries, points = self.vectors, latents.to(self.places.dtype)
            inner: Tensor = points @ entries.T
            apart = points.square().sum(-1, keepdim=True) + entries.square().sum(-1)
            return apart - 2 * inner

    def distortion(self, latents: Tensor) -> Tensor:
        """(...): squared distance to the nearest entries, mean over channels, faded by rank.

        An entry that is nearest to no latent is still drawn to those to which it is among the next
        ones, so that none is left behind, however the entries began.
        """
        ranked = self._distances(latents.detach()).topk(
            min(NEAREST, len(self.places)), dim=-1, largest=False
        )
        ranks = torch.arange(ranked.values.shape[-1], device=latents.device)
        return (ranked.values * FADING**ranks).sum(-1) / self.places.shape[1]

    def surprise(self, codes: Tensor) -> Tensor:
        """(...) nats: -log of the codes' frequencies; on average, the entropy of their usage."""
        return functional.nll_loss(
            self.usage.log_softmax(0).expand(codes.numel(), -1), codes.flatten(), reduction="none"
        ).view(codes.shape)


class CodeModel(nn.Module):
    """p(codes of a block) = ∏_i p(c_i | c_<i, what the network makes of the history)."""

    def __init__(self, codes: int, width: int, layers: int) -> None:
        super().__init__()
        heads = math.gcd(width // 2, max(1, width // 64))
        self.embedding = nn.Embedding(codes, width)
        self.transformer = CausalTransformer(width, layers, heads)
        self.head = nn.Linear(width, codes)
        nn.init.normal_(self.embedding.weight, std=0.5)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def log_probs(self, states: Tensor, codes: Tensor) -> Tensor:
        """(..., block) nats of given codes.

        Args:
            states: (..., block, width), of the network.
            codes: (..., block).
        """
        before = functional.pad(self.embedding(codes[..., :-1]), (0, 0, 1, 0))
        hidden = self.transformer((states + before).flatten(0, -3))
        logits = self.head(hidden).view(*codes.shape, -1)
        wide = logits.to(self.head.weight.dtype).log_softmax(-1)
        chosen: Tensor = wide.gather(-1, codes[..., None])[..., 0]
        return chosen

    @torch.no_grad()
    def sample(
        self, states: Tensor, uniform: Tensor, codes: Tensor, known: Tensor, guidance: Tensor
    ) -> Tensor:
        """(rows, block): codes drawn one after the other.

        Args:
            states: (branches, rows, block, width): with the history and, if guided, without.
            uniform: (rows, block) draws in [0, 1).
            codes: (rows, block), read where known.
            known: (rows, block) bool.
            guidance: (rows, 1), the weight of the first branch; the other has the rest.
        """
        branches, rows, block, width = states.shape
        cache = self.transformer.begin(branches * rows, states)
        before, sampled = torch.zeros_like(states[0, :, 0]), []
        for place in range(block):
            step = (states[:, :, place] + before).view(-1, 1, width)
            hidden, cache = self.transformer.extend(step, cache)
            logits = self.head(hidden).view(branches, rows, -1).double().log_softmax(-1)
            mixed = torch.lerp(logits[-1], logits[0], guidance.double())
            bounds = mixed.softmax(-1).cumsum(-1)
            code = (bounds[:, :-1] <= uniform[:, place, None]).sum(-1)
            sampled.append(torch.where(known[:, place], codes[:, place], code))
            before = self.embedding(sampled[-1])
        return torch.stack(sampled, 1)

    def flops(self, blocks: int, block: int) -> int:
        """Model FLOPs of one forward pass over so many blocks."""
        return self.transformer.flops(blocks, block) + 2 * blocks * block * self.head.weight.numel()
