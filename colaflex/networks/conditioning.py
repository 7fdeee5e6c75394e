"""Conditioning on diffusion times."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["TimeEmbedding"]


class TimeEmbedding(nn.Module):
    """Sinusoidal features of every time, through a small MLP.

    The features live on log-spaced frequencies of t in [0, 1] scaled by 1000, as in DiT
    (Peebles and Xie, 2023, https://arxiv.org/abs/2212.09748).

    Example:
        >>> embedding = TimeEmbedding(n_times=2, width=16)
        >>> embedding(torch.rand(4, 1, 2)).shape
        torch.Size([4, 1, 16])
    """

    frequencies: Tensor

    def __init__(self, n_times: int, width: int, features: int = 64) -> None:
        super().__init__()
        half = features // 2
        spread = torch.arange(half, dtype=torch.float64) / half
        self.register_buffer(
            "frequencies", torch.exp(-math.log(10_000.0) * spread).float(), persistent=False
        )
        self.mlp = nn.Sequential(
            nn.Linear(n_times * features, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )

    def forward(self, times: Tensor) -> Tensor:
        """(..., n_times) -> (..., width)."""
        angle = 1000.0 * times[..., None] * self.frequencies.to(times.dtype)
        features = torch.cat([angle.cos(), angle.sin()], -1).flatten(-2)
        embedded: Tensor = self.mlp(features)
        return embedded
