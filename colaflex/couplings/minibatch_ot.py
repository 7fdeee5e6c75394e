"""Minibatch optimal transport: each row's noise is exchanged for one that lies nearer.

References:
    Improving and Generalizing Flow-Based Generative Models with Minibatch Optimal Transport (Tong
    et al., 2024), https://arxiv.org/abs/2302.00482; on what it does to conditional models, The
    Curse of Conditions (Cheng and Schwing, 2025), https://arxiv.org/abs/2503.10636.
"""

from __future__ import annotations

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from colaflex.couplings.configs import MinibatchOTConfig
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.solver import Coupling

__all__ = ["MinibatchOT"]


class MinibatchOT(Coupling):
    """The permutation of the noise over rows with the least squared distance to the data.

    All of a batch's noise is used once, at its own positions, so that over the batch it stays what
    it was drawn as. Given the data it does not, nor given a history that tells of the data: what a
    model learns is exact where blocks do not depend on what stands before them, else approximate.
    The pairing sees the rows that are trained together in one pass of one process.
    """

    def __init__(self, config: MinibatchOTConfig) -> None:
        self.config = config

    @torch.no_grad()
    def pair(self, data: Tensor, noise: Tensor, mask: Tensor, draws: Noise) -> Tensor:
        """The noise, exchanged between the rows that have positions that count."""
        del draws
        rows = mask.any(1).nonzero()[:, 0]
        clean, counted = data[rows].double(), mask[rows, :, None].double()
        # |z - e|^2 over counted positions, less |z|^2, which no permutation changes.
        exchanged = noise[rows].double()
        cost = counted.expand_as(clean).flatten(1) @ exchanged.square().flatten(1).T
        cost = cost - 2 * (clean * counted).flatten(1) @ exchanged.flatten(1).T
        _, chosen = linear_sum_assignment(cost.cpu().numpy())
        paired = noise.clone()
        paired[rows] = noise[rows[torch.from_numpy(chosen).to(rows.device)]]
        return paired
