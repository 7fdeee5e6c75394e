"""What a solver promises."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from colaflex.interfaces.configs import SolverConfig
from colaflex.interfaces.solver import Solver
from colaflex.testing.probes import demand_close, demand_own_draws, drawn
from colaflex.testing.results import Fault, NotApplicable
from colaflex.testing.subject import Subject

__all__ = ()


def _solver(subject: Subject) -> Any:
    return subject.build()


def _evaluations(subject: Subject, steps: int) -> int | None:
    assert isinstance(subject.config, SolverConfig)
    return subject.config.evaluations(steps)


class _Growth:
    """dz/dt = z, with a record of when it was asked; z(0) = z(1) / e."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def __call__(self, time: Tensor, state: Tensor) -> Tensor:
        self.times.append(float(time))
        return state


def base(subject: Subject) -> None:
    """It derives from `colaflex.interfaces.solver.Solver`."""
    if not isinstance(_solver(subject), Solver):
        raise Fault(f"{subject.name} derives from something else")


def direction(subject: Subject) -> None:
    """It goes from t = 1 to t = 0: straight paths end at the data, whatever the steps."""
    data, noise = drawn(2, 3, 4, 2).unbind()
    for steps in (1, 2, 7):
        end = _solver(subject).solve(lambda t, z: noise - data, noise, steps)
        demand_close(end, data, 1e-6, f"the end of straight paths after {steps} steps")


def converges(subject: Subject) -> None:
    """On dz/dt = z, twice the steps at least nearly halve the error; adaptive ones have little."""
    solver = _solver(subject)

    def error(steps: int) -> float:
        end = solver.solve(_Growth(), torch.ones(1, 1, 1, dtype=torch.float64), steps)
        return abs(float(end) - math.exp(-1))

    if _evaluations(subject, 8) is None:
        if not error(1) < 1e-2:
            raise Fault(f"the end of dz/dt = z is off by {error(1):.2g}")
        return
    coarse, fine = error(16), error(32)
    if fine > 1e-12 and not math.log2(coarse / fine) > 0.8:
        raise Fault(f"the error is {coarse:.2g} at 16 steps and {fine:.2g} at 32: no order of 1")


def time_dependence(subject: Subject) -> None:
    """On dz/dt = t + z, it arrives at the closed form: times are those of the states."""
    start = torch.zeros(1, 1, 1, dtype=torch.float64)
    end = _solver(subject).solve(lambda t, z: t.double() + z, start, 64)
    # z(t) = 2 exp(t - 1) - t - 1; Euler's error at 64 steps is about half a step.
    demand_close(end, start + 2 / math.e - 1, 0.01, "the end of dz/dt = t + z")


def evaluations(subject: Subject) -> None:
    """The config's `evaluations(steps)` is the number of times that the velocity is asked."""
    for steps in (1, 2, 5):
        field, declared = _Growth(), _evaluations(subject, steps)
        _solver(subject).solve(field, torch.ones(2, 3, 2), steps)
        if declared is not None and declared != len(field.times):
            raise Fault(
                f"it declares {declared} evaluations over {steps} steps and makes "
                f"{len(field.times)}"
            )
        if min(field.times) < -1e-6 or max(field.times) > 1 + 1e-6:
            raise Fault(f"it asks for times from {min(field.times)} to {max(field.times)}")


def adaptive(subject: Subject) -> None:
    """`adaptive` says whether the number of evaluations is known beforehand."""
    declared = getattr(_solver(subject), "adaptive", False)
    if declared != (_evaluations(subject, 4) is None):
        raise Fault(f"adaptive = {declared}, and evaluations(4) = {_evaluations(subject, 4)}")


def batch_independent(subject: Subject) -> None:
    """A row's end depends on its own start (adaptive: within the tolerance), drawn from nothing."""
    start = drawn(5, 3, 2)
    solver, before = _solver(subject), start.clone()

    def solve(states: Tensor) -> Tensor:
        ends: Tensor = solver.solve(lambda t, z: torch.sin(3 * z) + t, states, 6)
        return ends

    demand_own_draws(lambda: [solve(start)], "solve()")
    whole = solve(start)
    if not torch.equal(start, before):
        raise Fault("solve() changes the start that it is given")
    tolerance = 1e-2 if _evaluations(subject, 6) is None else 1e-12
    for row in range(len(start)):
        what = f"row {row} alone and among others"
        demand_close(solve(start[row : row + 1])[0], whole[row], tolerance, what)


def dtype(subject: Subject) -> None:
    """The end has the dtype of the start, in which the velocity is asked."""
    for kind in (torch.float32, torch.float64, torch.bfloat16):
        seen: list[torch.dtype] = []

        def velocity(time: Tensor, state: Tensor, seen: list[torch.dtype] = seen) -> Tensor:
            seen.append(state.dtype)
            return -state

        end = _solver(subject).solve(velocity, torch.ones(1, 2, 2, dtype=kind), 4)
        if end.dtype != kind or set(seen) != {kind}:
            raise Fault(
                f"a start of {kind} ends as {end.dtype}, the velocity was asked in {seen[0]}"
            )


def differentiable(subject: Subject) -> None:
    """Gradients flow through the solution."""
    rate = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    start = torch.ones(1, 1, 1, dtype=torch.float64)
    end = _solver(subject).solve(lambda t, z: rate * z, start, 32)
    if not end.requires_grad:
        raise Fault("the end carries no gradient")
    (slope,) = torch.autograd.grad(end.sum(), rate)
    if abs(float(slope) + math.exp(-1)) > 0.05:
        raise Fault(f"the gradient is {float(slope):.3f}, the truth is {-math.exp(-1):.3f}")


def refuses(subject: Subject) -> None:
    """Fewer steps than one are refused with a ValueError."""
    if _evaluations(subject, 1) is None:
        raise NotApplicable("it chooses its own steps")
    try:
        _solver(subject).solve(_Growth(), torch.ones(1, 1, 1), 0)
    except ValueError:
        return
    raise Fault("0 steps are taken without a word")
