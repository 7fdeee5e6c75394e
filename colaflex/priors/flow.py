"""Base of flow-type priors: a velocity field over blocks, and the solvers that follow it.

A new flow-type prior states its `objective`, unless that is flow matching's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from colaflex.errors import UserError
from colaflex.interfaces.component import Builder
from colaflex.interfaces.noise import SampleNoise
from colaflex.interfaces.options import SamplingOptions
from colaflex.interfaces.solver import Solver, VelocityField
from colaflex.priors.block_sampling import Draw, Prefix
from colaflex.priors.denoiser import SMALLEST_TIME
from colaflex.priors.flow_config import FlowPriorConfig
from colaflex.priors.path import Path, Predict, over_channels
from colaflex.priors.path_prior import PathPrior

__all__ = ["FlowPrior", "Path", "Predict"]

MOST_SIGNAL = 5.0
"""Signal over noise, ((1 - t) / t)², that a loss weighs with at most (Min-SNR-γ).

Efficient Diffusion Training via Min-SNR Weighting (Hang et al., 2023),
https://arxiv.org/abs/2303.09556; without a bound, nothing but the last of the noise would count.
"""


class FlowPrior(PathPrior):
    """Block-causal prior given by a velocity field v(z_t, t; history) from noise to data.

    Example:
        >>> from colaflex.host.registry import registry
        >>> class Absolute(FlowPrior):
        ...     def objective(self, path, predict):
        ...         predicted = predict(path.point(), path.times[..., None])
        ...         return (predicted - path.velocity()).abs().mean(-1)
        >>> config = registry().config("prior", {"type": "flow_matching", "readout": "linear"})
        >>> prior = Absolute(config, latent_dim=8, build=registry().build)
        >>> prior.sample(rows=2, blocks=1).shape
        torch.Size([2, 16, 8])
    """

    config: FlowPriorConfig

    def __init__(self, config: FlowPriorConfig, *, latent_dim: int, build: Builder) -> None:
        super().__init__(config, latent_dim=latent_dim, build=build)
        self.solver: Solver = build(config.solver)
        own = type(self).objective is not FlowPrior.objective
        if own and config.loss_space != "auto":
            raise UserError(
                f"loss_space: {type(self).__name__} has an objective of its own; leave it at auto"
            )

    @property
    def prediction(self) -> Literal["velocity", "x0"]:
        """As the config says."""
        return self.config.prediction

    def objective(self, path: Path, predict: Predict) -> Tensor:
        """Flow matching in the space of the losses; see `PathPrior.objective`."""
        if self.config.loss_space == "auto":
            return super().objective(path, predict)
        point = path.point()
        clean = self.denoiser.clean(predict(point, path.times[..., None]), point, path.times)
        error = clean - path.data
        weight = over_channels(self.error_weight(path.times), error)
        return (weight * error.square()).mean(-1)

    def error_weight(self, times: Tensor) -> Tensor:
        """By the space of the losses; see `PathPrior.error_weight`."""
        space = self.config.loss_space
        match self.prediction if space == "auto" else space:
            case "x0":
                return torch.ones_like(times)
            case "velocity":
                return super().error_weight(times)
        return ((1.0 - times) / times).square().clamp(max=MOST_SIGNAL)

    def descend(self, field: VelocityField, draw: Draw, steps: int) -> Tensor:
        """The solver's way along the field."""
        return self.follow(field, draw(0), steps)

    def follow(self, velocity: VelocityField, start: Tensor, steps: int) -> Tensor:
        """The solver's way along a velocity field, from noise to data."""
        if self.denoiser.knows_clean:
            velocity = _coasting(velocity)
        return self.solver.solve(velocity, start, steps)

    @torch.no_grad()
    def straightness(self, state: Prefix, noise: SampleNoise, steps: int = 16) -> Tensor:
        """(rows,): mean of |(z_1 - z_0) - v(z_t, t)|^2 along each row's sampling path.

        0 for straight paths, which one step follows exactly (Liu et al., 2023, eq. 7,
        https://arxiv.org/abs/2209.03003); Euler's path of `steps` steps, mean over channels.
        """
        field, weight = self.field(state), self.lift.weight
        point = noise.normal("flow", (self.block_size, self.latent_dim), weight)
        start, velocities = point, []
        for time in torch.linspace(1, 0, steps + 1, device=weight.device)[:-1]:
            velocities.append(field(time, point))
            point = point - velocities[-1] / steps
        straight = start - point
        errors = [(straight - v).square().mean((1, 2)) for v in velocities]
        return torch.stack(errors).mean(0)

    def asked_times(self, options: SamplingOptions) -> Sequence[float] | None:
        """The times at which the solver asks; None of one that adapts its steps.

        Those near t = 0 at which a predicted z0 is coasted to are asked too, though not evaluated.
        Steps by estimates, with fresh noise or at other times, are Euler's.
        """
        if not options.along_the_flow:
            return super().asked_times(options)
        if self.config.solver.evaluations(options.steps) is None:
            return None
        asked: list[float] = []

        def still(time: Tensor, points: Tensor) -> Tensor:
            asked.append(float(time))
            return torch.zeros_like(points)

        self.solver.solve(still, torch.zeros(1), options.steps)
        return asked


def _coasting(velocity: VelocityField) -> VelocityField:
    """The field, its last velocity going on where t is too small to divide by.

    Solvers that ask at t = 0 (Heun, Runge-Kutta) then land on the last prediction of the data.
    """
    last: Tensor | None = None

    def coasting(time: Tensor, points: Tensor) -> Tensor:
        nonlocal last
        if last is None or time >= SMALLEST_TIME:
            last = velocity(time, points)
        return last

    return coasting
