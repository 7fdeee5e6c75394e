"""Logit-normal times.

References:
    Scaling Rectified Flow Transformers for High-Resolution Image Synthesis (Esser et al., 2024),
    https://arxiv.org/abs/2403.03206; Cola DLM (2026), section 4.2, for a location that grows with
    the dimension, https://arxiv.org/abs/2605.06548.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from colaflex.interfaces.noise import Noise
from colaflex.interfaces.schedule import Schedule
from colaflex.schedules.configs import LogitNormalConfig

__all__ = ["LogitNormal"]


class LogitNormal(Schedule):
    """t = sigmoid(loc + scale · n), n ~ N(0, 1)."""

    config: LogitNormalConfig

    @property
    def loc(self) -> float:
        """Mean of logit t."""
        if self.config.loc == "auto":
            return 1.0 + 0.5 * math.log(self.latent_dim / 16)
        return self.config.loc

    def quantile(self, shares: Tensor) -> Tensor:
        """See `Schedule.quantile`."""
        return torch.sigmoid(self.loc + self.config.scale * torch.special.ndtri(shares))

    def drawn(self, noise: Noise, shape: Sequence[int], like: Tensor, purpose: str) -> Tensor:
        """By normal draws."""
        return torch.sigmoid(self.loc + self.config.scale * noise.normal(purpose, shape, like))
