from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from colaflex.host.registry import registry

FIXED = {"euler": (1, 1), "midpoint": (2, 2), "heun": (2, 2), "rk4": (4, 4)}
ADAPTIVE = ("adaptive_heun", "bosh3", "dopri5", "dopri8")


def solver(name: str, **options: Any) -> Any:
    return registry().build(registry().config("solver", {"type": name, **options}))


class Field:
    """dz/dt = z, with a record of when it was asked."""

    def __init__(self) -> None:
        self.times = []

    def __call__(self, time: Any, state: Any) -> Any:
        self.times.append(float(time))
        return state


def growth(name: str, steps: int) -> Any:
    """z(0) of dz/dt = z from z(1) = 1, whose exact value is 1/e."""
    start = torch.ones(1, dtype=torch.float64)
    return solver(name).solve(Field(), start, steps).item()


@pytest.mark.parametrize("name", FIXED)
def test_fixed_steps_converge_at_their_order(name: str) -> None:
    order, _ = FIXED[name]
    errors = [abs(growth(name, steps) - math.exp(-1)) for steps in (8, 16)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.2)


@pytest.mark.parametrize("steps", [1, 3, 7, 49])
@pytest.mark.parametrize("name", FIXED)
def test_evaluations_are_as_declared_and_within_the_interval(name: str, steps: int) -> None:
    field = Field()
    chosen = solver(name)
    chosen.solve(field, torch.ones(2, 3), steps)
    assert len(field.times) == chosen.config.evaluations(steps) == FIXED[name][1] * steps
    assert field.times[0] == 1.0
    assert min(field.times) >= 0.0


def test_euler_is_the_sum_over_the_grid() -> None:
    state = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    expected = state.clone()
    for i in range(5):
        expected = expected - (1 - i / 5) * expected.sin() / 5
    found = solver("euler").solve(lambda t, z: t * z.sin(), state, 5)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", [*FIXED, *ADAPTIVE])
def test_straight_paths_are_exact(name: str) -> None:
    data, noise = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(1))
    found = solver(name).solve(lambda t, z: noise - data, noise, 1)
    torch.testing.assert_close(found, data, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ADAPTIVE)
def test_adaptive_steps_keep_their_tolerance_and_the_interval(name: str) -> None:
    field = Field()
    chosen = solver(name, rtol=1e-7, atol=1e-7)
    assert chosen.adaptive and chosen.config.evaluations(16) is None
    end = chosen.solve(field, torch.ones(1, dtype=torch.float64), 1)
    assert end.item() == pytest.approx(math.exp(-1), abs=1e-5)
    assert min(field.times) >= 0.0 and max(field.times) <= 1.0


def test_a_low_precision_state_keeps_its_dtype_and_the_time_does_not_suffer() -> None:
    seen = []

    def field(time: Any, state: Any) -> Any:
        seen.append((time.dtype, state.dtype, float(time)))
        return state

    end = solver("euler").solve(field, torch.ones(2, dtype=torch.bfloat16), 1000)
    assert end.dtype == torch.bfloat16
    assert end.float().tolist() == pytest.approx([math.exp(-1)] * 2, rel=1e-2)
    assert {kind for kind, _, _ in seen} == {torch.float32}
    assert {kind for _, kind, _ in seen} == {torch.bfloat16}
    assert len({time for _, _, time in seen}) == 1000


@pytest.mark.parametrize("name", ["midpoint", "dopri5"])
def test_gradients_flow_through_the_solution(name: str) -> None:
    rate = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    start = torch.ones(1, dtype=torch.float64)
    end = solver(name).solve(lambda t, z: rate * z, start, 64)
    (slope,) = torch.autograd.grad(end.sum(), rate)
    assert slope.item() == pytest.approx(-math.exp(-1), abs=1e-3)


def test_impossible_requests_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one step, not 0"):
        solver("euler").solve(Field(), torch.ones(1), 0)
    with pytest.raises(ArithmeticError, match="dopri5 could not reach t = 0: max_num_steps"):
        solver("dopri5", max_intervals=1).solve(lambda t, z: (40 * t).sin(), torch.ones(1), 1)
    with pytest.raises(ArithmeticError, match="dopri5 could not"):
        solver("dopri5").solve(lambda t, z: z / 0.0, torch.ones(1), 1)
