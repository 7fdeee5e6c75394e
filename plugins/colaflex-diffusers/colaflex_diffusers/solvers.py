"""Schedulers of diffusers that integrate the flow from noise to data.

A scheduler calls `sigma` what is the time t here: x = (1 - sigma) · data + sigma · noise, and
its "flow prediction" is the velocity noise - data.

Sources: DPM-Solver++ (Lu et al., 2022), https://arxiv.org/abs/2211.01095; UniPC (Zhao et al.,
2023), https://arxiv.org/abs/2302.04867; shifted grids: Scaling Rectified Flow Transformers (Esser
et al., 2024), https://arxiv.org/abs/2403.03206.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    UniPCMultistepScheduler,
)
from torch import Tensor

from colaflex.interfaces.conformance import Conformance
from colaflex.interfaces.solver import Solver, VelocityField
from colaflex_diffusers.config import DpmPlusPlusConfig, EulerConfig, HeunConfig, UniPCConfig

__all__ = ["DpmPlusPlus", "Euler", "Heun", "SchedulerSolver", "UniPC"]

BELOW_ONE = 1 - 2**-24
"""The largest fp32 number below 1: there the log-SNR is finite, as multistep schedulers need it."""


class SchedulerSolver(Solver):
    """A scheduler, stepped from t = 1 to t = 0 over a grid of its shifted equal steps.

    Schedulers' own grids don't fit: they end at 1/1000 before 0, or begin below 1. The grid is
    therefore set here, and a scheduler made anew for every solution, since it keeps a history.
    """

    config: EulerConfig | HeunConfig | DpmPlusPlusConfig | UniPCConfig
    latest: ClassVar[float] = 1.0

    @abstractmethod
    def scheduler(self) -> Any:
        """A new scheduler with the config's options."""

    def times(self, steps: int) -> Tensor:
        """(evaluations + 1,) float64: when the velocity is asked, and 0 last."""
        grid = torch.linspace(1.0, 0.0, steps + 1, dtype=torch.float64)
        shift = self.config.shift
        return (shift * grid / (1 + (shift - 1) * grid)).clamp(max=self.latest)

    def solve(self, velocity: VelocityField, start: Tensor, steps: int) -> Tensor:
        """The state at t = 0; raises ValueError for fewer steps than one."""
        if steps < 1:
            raise ValueError(f"a solver takes at least one step, not {steps}")
        dtype = torch.promote_types(start.dtype, torch.float32)
        scheduler = self.scheduler()
        scheduler.set_timesteps(steps)
        scheduler.set_begin_index(0)  # else it looks its first place up by the timestep
        scheduler.sigmas = self.times(steps).to(dtype)
        state = start.to(dtype)
        for sigma in scheduler.sigmas[:-1]:
            flow = velocity(sigma.to(start.device), state.to(start.dtype)).to(dtype)
            state = scheduler.step(flow, sigma, state).prev_sample
        return state.to(start.dtype)


class Euler(SchedulerSolver):
    """x + (sigma' - sigma) · velocity."""

    def __init__(self, config: EulerConfig) -> None:
        self.config = config

    def scheduler(self) -> FlowMatchEulerDiscreteScheduler:
        """Steps in fp32, whatever the state."""
        return FlowMatchEulerDiscreteScheduler()


class Heun(SchedulerSolver):
    """The mean of the velocities at both ends of a step; at the last step, of its beginning."""

    def __init__(self, config: HeunConfig) -> None:
        self.config = config

    def scheduler(self) -> FlowMatchHeunDiscreteScheduler:
        """Steps in fp32, whatever the state."""
        return FlowMatchHeunDiscreteScheduler()

    def times(self, steps: int) -> Tensor:
        """Every inner time twice: the end of one step, and the beginning of the next."""
        grid = super().times(steps)
        return torch.cat([grid[:1], grid[1:-1].repeat_interleave(2), grid[-1:]])


class DpmPlusPlus(SchedulerSolver):
    """Exponential integrator of the data's prediction, from the evaluations of earlier steps."""

    # At order 2 its error on the kit's equation happens to change sign near 16 steps.
    conformance = Conformance(options={"order": 3})

    config: DpmPlusPlusConfig
    latest = BELOW_ONE

    def __init__(self, config: DpmPlusPlusConfig) -> None:
        self.config = config

    def scheduler(self) -> DPMSolverMultistepScheduler:
        """Steps in fp32, whatever the state."""
        return DPMSolverMultistepScheduler(
            prediction_type="flow_prediction",
            use_flow_sigmas=True,
            solver_order=self.config.order,
            solver_type=self.config.variant,
        )


class UniPC(SchedulerSolver):
    """A predictor, whose result the next evaluation corrects before it is stepped from."""

    config: UniPCConfig
    latest = BELOW_ONE

    def __init__(self, config: UniPCConfig) -> None:
        self.config = config

    def scheduler(self) -> UniPCMultistepScheduler:
        """Steps in the dtype of the state."""
        return UniPCMultistepScheduler(
            prediction_type="flow_prediction",
            use_flow_sigmas=True,
            solver_order=self.config.order,
            solver_type="bh2",  # "bh1" is not a number in the step into t = 0
        )
