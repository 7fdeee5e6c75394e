"""Log densities of latents under a velocity field, by the instantaneous change of variables.

Along dz/dt = v, d log p_t(z_t) / dt = -div v; with t = 1 the noise,
log p(z_0) = log N(z_1; 0, I) + ∫_0^1 div v(z_t, t) dt.

Where the clean latent x is predicted, the velocity (z_t - x) / t divides its error by t, and
densities begin at a time that the network knows. At t the prediction is worth something as long as
x is no worse a guess of the latent than z_t / (1 - t), which takes z_t for free of noise; the best
one never is. Training seldom looks at small times, so that the least t of which this holds is a
property of the model, and is measured by asking it about samples of its own.

References:
    Neural Ordinary Differential Equations (Chen et al., 2018), https://arxiv.org/abs/1806.07366;
    FFJORD (Grathwohl et al., 2019), for the random direction, https://arxiv.org/abs/1810.01367.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torchdiffeq
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from colaflex.interfaces.noise import generator_for
from colaflex.interfaces.one_line import one_line
from colaflex.interfaces.solver import VelocityField
from colaflex.priors.denoiser import LEAST_TIME, Denoiser
from colaflex.priors.path import Masks, Predict

__all__ = [
    "TIMES",
    "Integration",
    "block_directions",
    "density_start",
    "log_density",
    "path_density",
]

RESOLVED = 0.02
"""How finely steps begin at t = 0: the least deviation of the data that few of them resolve."""

TIMES: tuple[float, ...] = tuple(0.256 * 0.5**halvings for halvings in range(10))
"""Where predictions are looked at, downwards. Densities begin one higher: samples of a model that
does not know small times are too close to what it predicts there."""

PROBES, STEPS = 128, 32
"""Sampled blocks, and the Euler steps of each."""

TOLERATED = 1.02
"""Ratio of mean squared errors up to which a prediction is no worse, by so many samples."""


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

    __repr__ = one_line

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
    signs = [
        torch.randint(2, block.shape, generator=generator_for("direction", block.numpy().tobytes()))
        for block in blocks
    ]
    return (2 * torch.stack(signs) - 1).view_as(data).to(data)


def path_density(
    denoiser: Denoiser, past: Any, data: Tensor, masks: Masks, integration: Integration
) -> Tensor:
    """(batch, blocks) nats: log p of each block's positions that are not pinned.

    Args:
        denoiser: whose velocity is followed, unguided.
        past: the network's history of the batch.
        data: (batch, blocks, block, dim).
        masks: of these; pinned positions are history, and carry no gradient.
        integration: how.
    """
    predict, pinned = _settled(denoiser, past, masks), masks.pinned[..., None]

    def velocity(time: Tensor, points: Tensor) -> Tensor:
        times = torch.atleast_2d(time.to(points.dtype))[..., None]
        moved = denoiser.velocity(predict(points, times), points, times[..., None])
        return torch.where(pinned, 0.0, moved)

    data = torch.where(pinned, data.detach(), data)
    return log_density(velocity, data, ~masks.pinned, integration)


def _settled(denoiser: Denoiser, past: Any, masks: Masks) -> Predict:
    """The prediction as a function of points and times alone, as a density needs it.

    With self-conditioning, the network reads the estimate that it makes there without one.
    """
    plain, recall = denoiser.predictor(past, masks), denoiser.recall
    if recall is None:
        return plain

    def predict(points: Tensor, times: Tensor) -> Tensor:
        estimate = denoiser.clean(plain(points, times), points, times[..., 0])
        lifted = recall(torch.where(masks.pinned[..., None], 0.0, estimate))
        return denoiser.predictor(past, masks, lifted)(points, times)

    return predict


def density_start(denoiser: Denoiser, shape: Sequence[int]) -> float:
    """The least of `TIMES` at which, and a halving below, latents are predicted well.

    They are samples of first blocks of documents, (block, dim), out of noise that is always the
    same.
    """
    points, noise = (
        torch.randn((PROBES, 1, *shape), generator=generator_for("density start", purpose)).to(
            denoiser.lift.weight
        )
        for purpose in ("samples", "noise")
    )
    masks = Masks.free(torch.ones_like(points[..., 0], dtype=torch.bool))
    predict = denoiser.predictor(denoiser.network.begin(PROBES, points), masks)

    def clean_at(points: Tensor, time: float) -> Tensor:
        times = points.new_full((1, 1, 1), time)
        prediction = predict(points, times)
        if denoiser.prediction == "x0":
            return prediction
        return points - times[..., None].clamp(min=LEAST_TIME) * prediction

    start = TIMES[0]
    for step in range(STEPS, 0, -1):
        points = torch.lerp(points, clean_at(points, step / STEPS), 1 / step)
    for above, time in zip((TIMES[0], *TIMES), TIMES, strict=False):
        clean = clean_at(torch.lerp(points, noise, time), time)
        guess = (time / (1 - time)) ** 2 * noise.square().mean()
        if not bool((clean - points).square().mean() <= TOLERATED * guess):
            break
        start = above
    return start
