"""Self-conditioning: the network reads an estimate of the clean latents along with noisy ones.

References:
    Analog Bits (Chen et al., 2022), https://arxiv.org/abs/2208.04202, for an estimate at the same
    point in a share of the steps; FastDiSS (2026), https://arxiv.org/abs/2604.05551, for one at
    more noise, as samplers of few steps have it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["SelfConditioned", "noisier"]

FEWEST_STEPS, MOST_STEPS = 4, 32
"""Steps of the samplers whose step before an estimate may come from."""


class SelfConditioned(nn.Module):
    """Lifts an estimate to the network's width; at first to 0, as if there were none."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, width, bias=False)
        nn.init.zeros_(self.linear.weight)

    def forward(self, estimate: Tensor) -> Tensor:
        """(..., dim) -> (..., width)."""
        lifted: Tensor = self.linear(estimate)
        return lifted


def noisier(times: Tensor, draws: Tensor) -> Tensor:
    """The time one step before, by a sampler of a random number of even steps.

    Args:
        times: (rows, blocks).
        draws: (rows, 1), uniform in [0, 1).
    """
    span = MOST_STEPS / FEWEST_STEPS
    steps = torch.floor(FEWEST_STEPS * span**draws)
    return (times + 1.0 / steps).clamp(max=1.0)
