"""Base of flow-type priors: a velocity field over blocks, and the solvers that follow it.

A new flow-type prior states an objective (`objective`) and, where it differs, its velocity.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from colaflex.interfaces.component import Builder
from colaflex.interfaces.noise import SampleNoise
from colaflex.interfaces.options import SamplingOptions
from colaflex.interfaces.solver import Solver, VelocityField
from colaflex.priors.flow_config import FlowPriorConfig
from colaflex.priors.path_prior import LEAST_TIME, SMALLEST_TIME, Draw, PathPrior
from colaflex.priors.paths import Path, Predict

__all__ = ["FlowPrior", "Path", "Predict"]


class FlowPrior(PathPrior):
    """Block-causal prior given by a velocity field v(z_t, t; history) from noise to data."""

    config: FlowPriorConfig

    def __init__(self, config: FlowPriorConfig, *, latent_dim: int, build: Builder) -> None:
        super().__init__(config, latent_dim=latent_dim, build=build)
        self.solver: Solver = build(config.solver)

    @abstractmethod
    def objective(self, path: Path, predict: Predict) -> Tensor:
        """The loss of every position; see `PathPrior.objective`."""

    @property
    def knows_clean(self) -> bool:
        """Whether clean latents are what the network gives, so that velocities divide by t."""
        return self.config.prediction == "x0" or self.reads_out

    def meant(self, clean: Tensor, points: Tensor, time: Tensor) -> Tensor:
        """The prediction that clean latents mean: themselves, or a velocity."""
        if self.config.prediction == "x0":
            return clean
        return super().meant(clean, points, time)

    def clean(self, prediction: Tensor, points: Tensor, times: Tensor) -> Tensor:
        """The clean latents that a prediction means: itself, or behind the velocity."""
        if self.config.prediction == "x0":
            return prediction
        return super().clean(prediction, points, times)

    def matching_error(self, path: Path, predict: Predict) -> Tensor:
        """(samples · batch, blocks, block): squared error of the prediction, mean over channels."""
        predicted = predict(path.point(), path.times[..., None])
        if self.config.prediction == "x0":
            return (predicted - path.data).square().mean(-1)
        return self.weighed(predicted - path.velocity(), path.times).square().mean(-1)

    def as_velocity(self, prediction: Tensor, points: Tensor, times: Tensor) -> Tensor:
        """The velocity that a prediction means at given points and times."""
        if self.config.prediction == "velocity":
            return prediction
        return (points - prediction) / times.clamp(min=LEAST_TIME)

    def descend(self, field: VelocityField, draw: Draw, steps: int) -> Tensor:
        """The solver's way along the field."""
        return self.follow(field, draw(0), steps)

    def follow(self, velocity: VelocityField, start: Tensor, steps: int) -> Tensor:
        """The solver's way along a velocity field, from noise to data."""
        if self.knows_clean:
            velocity = _coasting(velocity)
        return self.solver.solve(velocity, start, steps)

    @torch.no_grad()
    def straightness(self, state: Any, noise: SampleNoise, steps: int = 16) -> Tensor:
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

    def network_evaluations(self, options: SamplingOptions) -> int | None:
        """Network evaluations per block: solver stages times guidance branches.

        Steps by estimates, with fresh noise or at other times, are Euler's.
        """
        if not options.along_the_flow:
            return super().network_evaluations(options)
        branches = 1 if options.guidance == 1.0 else 2
        evaluations = self.config.solver.evaluations(options.steps)
        if evaluations is None:
            return None
        return (evaluations + self._ends_apart) * branches


def _coasting(velocity: VelocityField) -> VelocityField:
    """The field with its last velocity kept where t is too small to divide by.

    Solvers that ask at t = 0 (Heun, Runge-Kutta) then land on the last prediction of the data.
    """
    last: Tensor | None = None

    def kept(time: Tensor, points: Tensor) -> Tensor:
        nonlocal last
        if last is None or time >= SMALLEST_TIME:
            last = velocity(time, points)
        return last

    return kept
