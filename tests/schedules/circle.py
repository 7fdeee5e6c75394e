"""Points on a circle: what a denoiser and a decoder lose there, by quadrature."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

POINTS = 8
ANGLES = 2 * math.pi * torch.arange(POINTS, dtype=torch.float64) / POINTS
CIRCLE = math.sqrt(2) * torch.stack([ANGLES.cos(), ANGLES.sin()], -1)
"""(8, 2): of variance 1 in each channel."""

SHARPNESS = 1.0
"""Of the decoder: a softmax over minus so many times the squared distances.

One sharper than this is surer of expected points than it may be: in much noise it costs less again.
"""


def _noise() -> tuple[Tensor, Tensor]:
    """Nodes and weights of a normal law in the plane."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(48)
    grid = torch.from_numpy(np.stack(np.meshgrid(nodes, nodes), -1).reshape(-1, 2))
    both = torch.from_numpy(np.outer(weights, weights).ravel())
    return grid, both / both.sum()


def losses(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """At each logit t: the least squared error (mean over channels), what the decoder says of the
    expected point, in nats, and the entropy of the point given the noisy one.

    By symmetry, of the first point alone.
    """
    noise, weights = _noise()
    errors, costs, entropies = [], [], []
    for logit in logits.tolist():
        noisy = CIRCLE[0] + math.exp(logit) * noise  # over 1 - t
        distances = (noisy[:, None] - CIRCLE).square().sum(-1)
        posterior = torch.softmax(-distances / (2 * math.exp(2 * logit)), -1)
        expected = posterior @ CIRCLE
        errors.append(weights @ (expected - CIRCLE[0]).square().mean(-1))
        apart = (expected[:, None] - CIRCLE).square().sum(-1)
        costs.append(weights @ -torch.log_softmax(-SHARPNESS * apart, -1)[:, 0])
        entropies.append(weights @ -posterior[:, 0].clamp(min=1e-300).log())
    return torch.stack(errors), torch.stack(costs), torch.stack(entropies)


FINE = torch.linspace(-8, 8, 641, dtype=torch.float64)
ERRORS, COSTS, ENTROPIES = losses(FINE)


def at(values: Tensor, times: Tensor) -> Tensor:
    """Values of the fine grid at some times."""
    found = np.interp(times.double().logit().numpy(), FINE.numpy(), values.numpy())
    return torch.from_numpy(found)
