"""Log densities of latents under a velocity field, by the instantaneous change of variables.

Along dz/dt = v, d log p_t(z_t) / dt = -div v; with t = 1 the noise,
log p(z_0) = log N(z_1; 0, I) + ∫_0^1 div v(z_t, t) dt.

References:
    Neural Ordinary Differential Equations (Chen et al., 2018), https://arxiv.org/abs/1806.07366;
    FFJORD (Grathwohl et al., 2019), for the random direction, https://arxiv.org/abs/1810.01367.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torchdiffeq
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from colaflex.interfaces.noise import generator_for
from colaflex.interfaces.solver import VelocityField

__all__ = ["Integration", "block_directions", "log_density"]


RESOLVED = 0.02
"""How finely steps begin at t = 0: the least deviation of the data that few of them resolve."""


@dataclass(frozen=True)
class Integration:
    """How a log density is integrated.

    Steps are of even ratios in t + `RESOLVED`, or in t itself where they don't begin at 0, since
    a field changes about as the logarithm of t.

    Attributes:
        steps: intervals of the classical Runge-Kutta method (its 3/8 form).
        direction: of the data's shape, random signs whose quadratic form estimates the divergence
            without bias; None takes it exactly.
        shift: in [-0.5, 0.5], how far of an interval the edges between intervals are moved.
        first: time in [0, 1) at which it begins. There a latent z stands as (1 - first) z, as if it
            had no noise yet.
    """

    steps: int
    direction: Tensor | None = None
    shift: float = 0.0
    first: float = 0.0

    def shares(self) -> Tensor:
        """(steps + 1,) the edges, from 0 to 1, as shares of the way in the logarithm."""
        shares = torch.arange(self.steps + 1, dtype=torch.float64) / self.steps
        shares[1:-1] += self.shift / self.steps
        return shares

    def time(self, share: Tensor) -> tuple[Tensor, Tensor]:
        """The time at a share of the way, and its rate of change."""
        offset = 0.0 if self.first else RESOLVED
        length = math.log((1 + offset) / (self.first + offset))
        moved = (1 + offset) * torch.exp((share - 1) * length)
        return (moved - offset).clamp(min=0.0), moved * length


def log_density(
    velocity: VelocityField, data: Tensor, free: Tensor, integration: Integration
) -> Tensor:
    """(rows, blocks) nats: log p of the free positions of every block.

    Args:
        velocity: (time, points) -> velocity; a block's depends on no other block's points, and is
            zero where a position is not free.
        data: (rows, blocks, block, dim).
        free: (rows, blocks, block) bool.
        integration: how.
    """
    differentiable = torch.is_grad_enabled()
    direction = integration.direction
    signs = None if direction is None else torch.where(free[..., None], direction, 0.0)

    def dynamics(share: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        points = state[0] if state[0].requires_grad else state[0].detach().requires_grad_()
        time, rate = integration.time(share)
        with torch.enable_grad():
            moved = rate * velocity(time, points)
            spread = _divergence(moved, points, signs, differentiable)
        return (moved, spread) if differentiable else (moved.detach(), spread)

    shares = integration.shares().to(data)
    start = torch.where(free[..., None], (1 - integration.first) * data, data)
    # Only the plain attention kernel has second derivatives.
    with sdpa_kernel(SDPBackend.MATH):
        points, gained = torchdiffeq.odeint(
            dynamics,
            (start, torch.zeros_like(data[..., 0, 0])),
            shares[[0, -1]],
            method="rk4",
            options={"grid_constructor": lambda *_: shares},
        )
    normal = -0.5 * (points[-1].square() + math.log(2 * math.pi)) + math.log1p(-integration.first)
    density: Tensor = torch.where(free, normal.sum(-1), 0.0).sum(-1) + gained[-1]
    return density


def _divergence(
    moved: Tensor, points: Tensor, direction: Tensor | None, differentiable: bool
) -> Tensor:
    """(rows, blocks): the trace of each block's Jacobian, or its quadratic form."""
    if direction is not None:
        (pulled,) = torch.autograd.grad(moved, points, direction, create_graph=differentiable)
        return (pulled * direction).sum((-1, -2))
    trace = torch.zeros_like(moved[..., 0, 0])
    for place in range(moved.shape[-2]):
        for channel in range(moved.shape[-1]):
            (row,) = torch.autograd.grad(
                moved[..., place, channel].sum(),
                points,
                create_graph=differentiable,
                retain_graph=True,
            )
            trace = trace + row[..., place, channel]
    return trace


def block_directions(data: Tensor) -> Tensor:
    """Random signs, (rows, blocks, block, dim), a pure function of each block's own values.

    So a density depends on no other row, and errors of different rows average out.
    """
    blocks = data.detach().float().cpu().flatten(0, 1)
    drawn = [
        torch.randint(2, block.shape, generator=generator_for("direction", block.numpy().tobytes()))
        for block in blocks
    ]
    return (2 * torch.stack(drawn) - 1).view_as(data).to(data)
