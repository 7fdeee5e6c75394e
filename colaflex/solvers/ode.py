"""Runge-Kutta solvers, fixed and adaptive, by torchdiffeq."""

from __future__ import annotations

import torch
import torchdiffeq
from torch import Tensor

from colaflex.interfaces.solver import Solver, VelocityField
from colaflex.solvers.configs import AdaptiveConfig, OdeConfig

__all__ = ["AdaptiveOdeSolver", "OdeSolver"]


class OdeSolver(Solver):
    """A fixed grid of equal steps from t = 1 to t = 0.

    Integration is in fp32 at least, whatever the precision of the state: the velocity field sees
    the state in its own dtype and the time in that of the integration.
    """

    def __init__(self, config: OdeConfig) -> None:
        self.config = config

    def solve(self, velocity: VelocityField, start: Tensor, steps: int) -> Tensor:
        """The state at t = 0; raises ValueError for fewer steps than one."""
        if steps < 1:
            raise ValueError(f"a solver takes at least one step, not {steps}")
        dtype = torch.promote_types(start.dtype, torch.float32)
        grid = torch.linspace(1.0, 0.0, steps + 1, dtype=dtype, device=start.device)
        # The grid goes in as an option, because every time in `t` costs a stored state.
        return _integrate(
            velocity, start, self.config, grid[[0, -1]], {"grid_constructor": lambda f, y, t: grid}
        )


class AdaptiveOdeSolver(Solver):
    """Steps chosen by an error estimate over the whole batch; `steps` has no effect."""

    adaptive = True

    def __init__(self, config: AdaptiveConfig) -> None:
        self.config = config

    def solve(self, velocity: VelocityField, start: Tensor, steps: int) -> Tensor:
        """The state at t = 0; raises ArithmeticError where the tolerance can't be met."""
        del steps
        dtype = torch.promote_types(start.dtype, torch.float32)
        ends = torch.tensor([1.0, 0.0], dtype=dtype, device=start.device)
        options = {
            "max_num_steps": self.config.max_intervals,
            # A step that ends at t = 0: without, the field would be asked at negative times.
            "step_t": ends[1:],
        }
        tolerance = {"rtol": self.config.rtol, "atol": self.config.atol}
        try:
            return _integrate(velocity, start, self.config, ends, options, **tolerance)
        except AssertionError as error:
            raise ArithmeticError(f"{self.config.method} could not reach t = 0: {error}") from error


def _integrate(
    velocity: VelocityField,
    start: Tensor,
    config: OdeConfig,
    times: Tensor,
    options: dict[str, object],
    **tolerance: float,
) -> Tensor:
    def field(time: Tensor, state: Tensor) -> Tensor:
        return velocity(time, state.to(start.dtype)).to(times.dtype)

    states: Tensor = torchdiffeq.odeint(
        field, start.to(times.dtype), times, method=config.method, options=options, **tolerance
    )
    return states[-1].to(start.dtype)
