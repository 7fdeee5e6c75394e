"""Times by the tangent of a uniform angle: logit t is hyperbolic-secant, its tails heavy.

References:
    COSMOS (Meshchaninov et al., 2025), https://arxiv.org/abs/2506.21170; AURORA-LM (2026), for how
    the shift grows with the width of the latents, https://arxiv.org/abs/2608.02602.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from colaflex.interfaces.schedule import Schedule
from colaflex.schedules.configs import TangentConfig

__all__ = ["Tangent"]


class Tangent(Schedule):
    """t / (1 - t) = shift · tan(π u / 2), u uniform."""

    config: TangentConfig

    def quantile(self, shares: Tensor) -> Tensor:
        """d sin / (d sin + cos) of the angle: finite at both ends."""
        angle = shares * (math.pi / 2)
        noise = self.config.shift * torch.sin(angle)
        # Of the rest of the angle, so that nothing is lost where it is small.
        signal = torch.sin((1.0 - shares) * (math.pi / 2))
        return noise / (noise + signal)
