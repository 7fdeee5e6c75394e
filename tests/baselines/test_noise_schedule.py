from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from colaflex.baselines.noise_schedule import NoiseSchedule
from colaflex.testing.probes import shake


def wild_schedule() -> NoiseSchedule:
    schedule = NoiseSchedule(-3.0, 6.0)
    shake(schedule, 1.0)
    return schedule


def test_the_schedule_begins_nearly_straight_between_its_ends() -> None:
    times = torch.linspace(0, 1, 101)
    gamma = NoiseSchedule(-3.0, 6.0)(times).gamma.detach()
    assert gamma[[0, -1]].tolist() == pytest.approx([-3.0, 6.0], abs=1e-6)
    assert float((gamma - (9 * times - 3)).abs().max()) < 0.2


def test_gamma_rises_and_its_slope_is_its_derivative() -> None:
    schedule = wild_schedule()
    times = torch.linspace(0, 1, 1001, dtype=torch.float64)
    levels = schedule(times)
    assert bool((levels.gamma.diff() > 0).all()) and bool((levels.slope > 0).all())
    assert levels.gamma[[0, -1]].tolist() == pytest.approx([e.item() for e in schedule.ends()])
    step = 1e-6
    difference = (schedule(times + step).gamma - schedule(times - step).gamma) / (2 * step)
    torch.testing.assert_close(levels.slope, difference, rtol=1e-6, atol=1e-6)


def test_the_shape_learns_the_variance_and_the_ends_the_mean() -> None:
    def value(schedule: NoiseSchedule, times: Tensor) -> tuple[Any, Tensor]:
        levels = schedule(times)
        return levels, levels.slope * (1 + levels.gamma.sin())

    times = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)
    one, other = wild_schedule(), wild_schedule()
    levels, found = value(one, times)
    scale = torch.linspace(1, 3, 50)
    levels.learn_variance_of(found, scale)
    found.sum().backward()
    _, squares = value(other, times)
    (squares.square() / scale).sum().backward()
    for name in ("line", "heights", "steepness", "centres"):
        torch.testing.assert_close(getattr(one, name).grad, getattr(other, name).grad)
    other.zero_grad()
    value(other, times)[1].sum().backward()
    for name in ("first", "span"):
        torch.testing.assert_close(getattr(one, name).grad, getattr(other, name).grad)


def test_a_schedule_that_learns_variance_alone_evens_out_the_loss() -> None:
    """The best shape makes slope · f(gamma) constant, whatever f is."""
    schedule = NoiseSchedule(-3.0, 6.0).double()
    shape = [schedule.line, schedule.heights, schedule.steepness, schedule.centres]
    optimizer = torch.optim.Adam(shape, lr=0.05)
    times = torch.linspace(0, 1, 200, dtype=torch.float64)
    spread = []
    for _ in range(300):
        levels = schedule(times)
        found = levels.slope * torch.exp(-0.5 * (levels.gamma - 1).square())
        levels.learn_variance_of(found, torch.ones(()))
        found.mean().backward()
        spread.append(float(found.detach().std() / found.detach().mean()))
        optimizer.step()
        optimizer.zero_grad()
    assert spread[0] > 1.0
    assert spread[-1] < 0.5  # sixteen sigmoids come near it, at 0.39
