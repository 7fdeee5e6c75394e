"""Learned noise schedule of a variational diffusion model.

References:
    Variational Diffusion Models (Kingma et al., 2021), section 4 and appendices H and I,
    https://arxiv.org/abs/2107.00630; Likelihood-Based Diffusion Language Models (Gulrajani and
    Hashimoto, 2023), https://arxiv.org/abs/2305.18619.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from colaflex.interfaces.one_line import one_line

__all__ = ["Levels", "NoiseSchedule", "signal_and_noise"]

UNITS = 16
STEEPNESS, HEIGHT = 8.0, 0.02
"""Of each hidden unit at first: the schedule begins nearly straight."""


def signal_and_noise(gamma: Tensor) -> tuple[Tensor, Tensor]:
    """alpha and sigma at a level of noise: alpha² = sigmoid(-gamma), sigma² = sigmoid(gamma)."""
    return torch.sigmoid(-gamma).sqrt(), torch.sigmoid(gamma).sqrt()


@dataclass(frozen=True)
class Levels:
    """Levels of noise at some times.

    Attributes:
        gamma: -log SNR.
        slope: its derivative by t, positive.
    """

    gamma: Tensor
    slope: Tensor
    _factors: list[Tensor] = field(default_factory=list)

    __repr__ = one_line

    def learn_variance_of(self, losses: Tensor, scale: Tensor) -> None:
        """Let the schedule's shape minimise sum losses² / scale, to be called before backward().

        The mean of the losses does not depend on the shape, so their variance falls with their mean
        square, whose gradient is 2 · loss · d loss (Kingma et al., 2021, appendix I).

        Args:
            losses: one a level, of its shape.
            scale: what the squares are divided by.
        """
        self._factors.append((2 * losses / scale).detach())


class NoiseSchedule(nn.Module):
    """gamma(t) = gamma(0) + (gamma(1) - gamma(0)) · shape(t), in float64.

    The shape rises from 0 to 1: a straight line and `UNITS` sigmoids, with positive weights. It
    learns by the variance of the losses, the ends by the losses themselves.
    """

    def __init__(self, first: float, last: float) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.tensor([first]))
        self.span = nn.Parameter(torch.tensor([_softplus_inverse(last - first)]))
        self.line = nn.Parameter(torch.tensor([_softplus_inverse(1.0)]))
        self.heights = nn.Parameter(torch.full((UNITS,), _softplus_inverse(HEIGHT)))
        self.steepness = nn.Parameter(torch.full((UNITS,), _softplus_inverse(STEEPNESS)))
        self.centres = nn.Parameter(torch.linspace(0.0, 1.0, UNITS))

    def ends(self) -> tuple[Tensor, Tensor]:
        """gamma(0) and gamma(1), (1,) each."""
        first = self.first.double()
        return first, first + functional.softplus(self.span.double())

    def shape(self, times: Tensor) -> tuple[Tensor, Tensor]:
        """The rise from 0 to 1 and its derivative, of the shape of the times."""
        line = functional.softplus(self.line.double())
        heights = functional.softplus(self.heights.double())
        steepness = functional.softplus(self.steepness.double())

        def rise(at: Tensor) -> tuple[Tensor, Tensor]:
            units = torch.sigmoid(steepness * (at[..., None] - self.centres.double()))
            slopes = (heights * steepness * units * (1 - units)).sum(-1)
            return line * at + (heights * units).sum(-1), line + slopes

        times = times.double()
        low, high = rise(times.new_zeros(1))[0], rise(times.new_ones(1))[0]
        value, slope = rise(times)
        return (value - low) / (high - low), slope / (high - low)

    def forward(self, times: Tensor) -> Levels:
        """Levels at times in [0, 1]."""
        first, last = self.ends()
        value, slope = self.shape(times)
        factors: list[Tensor] = []
        for each in (value, slope):
            if each.requires_grad:
                each.register_hook(lambda grad: grad * factors[0] if factors else grad)
        return Levels(first + (last - first) * value, (last - first) * slope, factors)


def _softplus_inverse(x: float) -> float:
    return x + math.log(-math.expm1(-x))
