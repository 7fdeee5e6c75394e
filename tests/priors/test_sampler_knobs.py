"""Fresh noise, grids, the course of guidance, and the noise's temperature: in closed form."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from statistics import NormalDist
from typing import Any

import pytest
import torch
from random_priors import BLOCK, DIM, OPTIONS, ROWS, keys, latents, shaken
from torch import Tensor
from toys import generator

from colaflex.interfaces.options import GuidanceCourse, SamplingOptions
from colaflex.priors.block_sampling import estimated, fresh_share, grid_times, renoised
from colaflex.priors.denoiser import SMALLEST_TIME

GUIDED = ("flow_matching", "rectified_flow", "consistency", "shortcut", "mean_flow")
VARIANCE = 0.6


class Given:
    """Draws that are given, one a step."""

    def __init__(self, draws: Tensor) -> None:
        self.draws = draws

    def __call__(self, step: int) -> Tensor:
        return self.draws[step]

    def pin(self, points: Tensor) -> Tensor:
        return points


def way(times: list[float], renoise: float | str) -> tuple[list[Tensor], Tensor]:
    """Points on the way, and the end, where data is N(0, VARIANCE) and estimates are drawn from
    what it is given the point; over draws that are all independent and of unit variance."""
    steps = len(times) - 1
    # As unit vectors: points are then what they are made of.
    basis, seen = Given(torch.eye(2 * steps, dtype=torch.float64)[:, None, None]), []

    def drawn(step: int, time: Tensor, points: Tensor) -> Tensor:
        seen.append(points)
        t = times[step]
        spread = (1 - t) ** 2 * VARIANCE + t**2
        mean = (1 - t) * VARIANCE / spread * points
        return mean + math.sqrt(VARIANCE * t**2 / spread) * basis(steps + step)

    end = renoised(drawn, basis, times, renoise)  # type: ignore[arg-type]
    return seen, end


def covariance(one: Tensor, other: Tensor) -> float:
    return float((one * other).sum())


@pytest.mark.parametrize("renoise", [0.0, 0.4, 1.0, "ddpm"])
@pytest.mark.parametrize("grid", ["uniform", "power(0.5)", "prefix(0.7)"])
def test_every_share_of_fresh_noise_keeps_the_law_of_every_point(
    renoise: float | str, grid: str
) -> None:
    times = grid_times(grid, 5)
    points, end = way(times, renoise)
    for time, point in zip(times[:-1], points, strict=True):
        spread = (1 - time) ** 2 * VARIANCE + time**2
        assert covariance(point, point) == pytest.approx(spread, abs=1e-12)
    assert covariance(end, end) == pytest.approx(VARIANCE, abs=1e-12)


def test_what_two_points_share_tells_euler_ddpm_and_q_sampling_apart() -> None:
    times = grid_times("uniform", 5)
    found = {renoise: way(times, renoise)[0] for renoise in (0.0, "ddpm", 1.0)}
    for place, (t, s) in enumerate(pairwise(times[:-1])):
        data, noise = (1 - s) * (1 - t) * VARIANCE, s * t
        shared = {name: covariance(*points[place : place + 2]) for name, points in found.items()}
        assert shared[0.0] == pytest.approx(data + noise, abs=1e-12)  # the same noise
        assert shared[1.0] == pytest.approx(data, abs=1e-12)  # none of it
        spread = (1 - s) ** 2 * VARIANCE + s**2  # z_t is z_s scaled, and noise of its own
        assert shared["ddpm"] == pytest.approx((1 - t) / (1 - s) * spread, abs=1e-12)


@pytest.mark.parametrize(("t", "s"), [(0.9, 0.6), (0.5, 0.49), (0.2, 0.001)])
def test_ddpms_fresh_noise_has_the_posteriors_variance(t: float, s: float) -> None:
    """Of z_s given z_t and the data: the product of two Gaussians in z_s."""
    scale = (1 - t) / (1 - s)
    of_growth = t**2 - scale**2 * s**2
    posterior = 1 / (1 / s**2 + scale**2 / of_growth)
    assert (s * fresh_share("ddpm", t, s)) ** 2 == pytest.approx(posterior, rel=1e-9)
    assert fresh_share("ddpm", 1.0, s) == 1.0
    assert fresh_share(0.3, t, s) == 0.3


def test_no_fresh_noise_is_eulers_way_and_all_fresh_noise_forgets() -> None:
    prior, values = shaken("flow_matching", prediction="x0"), latents()
    with torch.no_grad():
        state = prior.commit(prior.begin(ROWS), values)
        estimate = estimated(prior.field(state, OPTIONS.guidance), None, OPTIONS.steps)
        draw = torch.randn(4, ROWS, BLOCK, DIM, generator=generator(3)).double()
        times = grid_times("uniform", OPTIONS.steps)
        found = renoised(estimate, Given(draw), times, 0.0)  # type: ignore[arg-type]
        euler = prior.follow(prior.field(state, OPTIONS.guidance), draw[0], OPTIONS.steps)
        torch.testing.assert_close(found, euler, atol=1e-9, rtol=0)
    seen: list[Tensor] = []

    def blind(step: int, time: Tensor, points: Tensor) -> Tensor:
        seen.append(points)
        return torch.full_like(points, 7.0)

    renoised(blind, Given(draw), times, 1.0)  # type: ignore[arg-type]
    for step, (points, time) in enumerate(zip(seen, times, strict=False)):
        torch.testing.assert_close(points, (1 - time) * 7 + time * draw[step])


def test_a_prefix_is_the_first_steps_of_more_and_then_the_end() -> None:
    assert grid_times("prefix(0.5)", 3) == pytest.approx([1, 5 / 6, 4 / 6, 0])
    assert grid_times("prefix(1)", 4) == grid_times("uniform", 4)
    prior, values = shaken("flow_matching"), latents()
    options = SamplingOptions(steps=2, grid="prefix(0.5)")
    with torch.no_grad():
        state = prior.commit(prior.begin(ROWS), values)
        field = prior.field(state)
        start = keys().normal("flow", (BLOCK, DIM), values)
        one, later = torch.tensor(1.0).double(), torch.tensor(0.75).double()
        point = start - 0.25 * field(one, start)
        expected = point - later * field(later, point)
        torch.testing.assert_close(prior.sample_block(state, keys(), options), expected)
    assert prior.network_evaluations(options) == 2


@pytest.mark.parametrize(
    ("schedule", "quantile"),
    [
        ({"type": "uniform"}, lambda share: share),
        (
            {"type": "logit_normal", "loc": 0.5, "scale": 2.0},
            lambda share: 1 / (1 + math.exp(-0.5 - 2.0 * NormalDist().inv_cdf(share))),
        ),
        (
            {"type": "tangent", "shift": 5.0},
            lambda share: 1 / (1 + 1 / (5.0 * math.tan(math.pi * share / 2))),
        ),
    ],
)
def test_the_grid_of_the_law_has_its_even_quantiles(schedule: Any, quantile: Any) -> None:
    expected = [1.0, *(quantile(share) for share in (0.75, 0.5, 0.25)), 0.0]
    options = SamplingOptions(steps=4, grid="law")
    for name, key in (("flow_matching", "schedule"), ("rectified_flow", "reflow_schedule")):
        prior = shaken(name, **{key: schedule})
        assert prior.grid_times(options) == pytest.approx(expected, abs=1e-9)
        assert prior.network_evaluations(options) == 4
        assert bool(prior.sample_block(prior.begin(2), keys(range(2)), options).isfinite().all())


@pytest.mark.parametrize("name", GUIDED)
def test_guidance_at_a_time_is_that_of_its_course(name: str) -> None:
    prior, values = shaken(name), latents()
    course = GuidanceCourse(3.0, (0.2, 0.8), "data_end")
    points = torch.randn(ROWS, BLOCK, DIM, generator=generator(4)).double()
    with torch.no_grad():
        state = prior.commit(prior.begin(ROWS), values)
        for time, guidance in ((0.9, 1.0), (0.8, 1.4), (0.5, 2.0), (0.2, 2.6), (0.1, 1.0)):
            at = torch.tensor([time, 0.05][: prior.n_times]).double()
            found = prior.field(state, course)(at, points)
            expected = prior.field(state, guidance)(at, points)
            torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    assert GuidanceCourse(3.0, law="noise_end").at(0.25) == 1.5
    assert GuidanceCourse(3.0).at(0.25) == GuidanceCourse(3.0, (0.0, 0.5)).at(0.25) == 3.0


@pytest.mark.parametrize(
    ("name", "steps", "options"),
    [
        *[(name, 5, {}) for name in GUIDED],
        *[("flow_matching", 5, {"solver": each}) for each in ("heun", "midpoint", "rk4")],
        ("flow_matching", 1, {"solver": "heun", "prediction": "x0"}),
        ("flow_matching", 55, {"prediction": "x0"}),
        ("flow_matching", 5, {"self_conditioning": {"share": 0.5, "guidance": 2.0}}),
    ],
)
def test_evaluations_are_those_that_are_made(name: str, steps: int, options: Any) -> None:
    """Where guidance is off for some of the time, at the ends of intervals, and near the data."""
    prior, values = shaken(name, **options), latents()
    calls: list[int] = []
    prior.network.register_forward_hook(lambda *_: calls.append(1))
    changes: list[dict[str, Any]] = [
        *({"guidance_law": law} for law in ("constant", "data_end", "noise_end")),
        *({"guidance_interval": ends} for ends in ((0.2, 0.6), (0.0, 0.0), (1.0, 1.0))),
        {"guidance": 1.0, "guidance_law": "data_end"},
    ]
    if prior.config.capabilities().estimates:
        changes.append({"renoise": "ddpm", "grid": "power(0.5)", "guidance_interval": (0.0, 0.5)})
    with torch.no_grad():
        state = prior.commit(prior.begin(ROWS), values)
        for change in changes:
            asked = replace(OPTIONS, steps=steps, **change)
            calls.clear()
            prior.sample_block(state, keys(), asked)
            saved = 0
            if prior.denoiser.knows_clean and asked.along_the_flow:  # it coasts to the data
                near = [time for time in prior.asked_times(asked)[1:] if time < SMALLEST_TIME]
                saved = sum(map(asked.course.branches, near))
            assert prior.network_evaluations(asked) == len(calls) + saved, change


@pytest.mark.parametrize("name", GUIDED)
def test_the_noises_temperature_is_its_deviation(name: str) -> None:
    prior, values = shaken(name), latents(1).expand(ROWS, -1, -1)
    with torch.no_grad():
        state = prior.commit(prior.begin(ROWS), values)
        cold = prior.sample_block(state, keys(), replace(OPTIONS, noise_temperature=0.0))
        torch.testing.assert_close(cold, cold[:1].expand_as(cold))  # nothing tells rows apart
        warm = prior.sample_block(state, keys(), replace(OPTIONS, noise_temperature=1.0))
        assert torch.equal(warm, prior.sample_block(state, keys(), OPTIONS))
    if name != "flow_matching":
        return
    with torch.no_grad():  # with nothing but noise and no estimate, z_s is s times it
        for parameter in prior.parameters():
            parameter.zero_()
        hot = replace(OPTIONS, noise_temperature=1.5, steps=1)
        start = keys().normal("flow", (BLOCK, DIM), values)
        torch.testing.assert_close(prior.sample_block(state, keys(), hot), 1.5 * start)
