"""The laws of training times, against closed forms."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import colaflex
from colaflex.interfaces.noise import Noise

SHARES = torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95], dtype=torch.float64)


def law(name: str, latent_dim: int = 16, **options: Any) -> Any:
    return colaflex.build("schedule", name, latent_dim=latent_dim, **options)


def share_above(schedule: Any, time: float) -> float:
    shares = torch.linspace(0, 1, 100_001, dtype=torch.float64)
    return float((schedule.quantile(shares) > time).double().mean())


@pytest.mark.parametrize("shift", [1.0, 3.0, 5.0, 7.0])
def test_logits_of_tangent_times_are_hyperbolic_secant_about_the_logarithm_of_the_shift(
    shift: float,
) -> None:
    logits = law("tangent", shift=shift).quantile(SHARES).logit()
    # P(h < x) = 2/pi atan(e^x) of sech(h) / pi.
    below = 2 / math.pi * torch.atan(torch.exp(logits - math.log(shift)))
    torch.testing.assert_close(below, SHARES)
    assert float(logits[2]) == pytest.approx(math.log(shift))


@pytest.mark.parametrize(
    ("shift", "above_7", "above_9"),
    [(1, 0.26, 0.07), (3, 0.58, 0.205), (5, 0.72, 0.32), (7, 0.80, 0.42)],
)
def test_a_larger_shift_draws_more_noise(shift: float, above_7: float, above_9: float) -> None:
    schedule = law("tangent", shift=shift)
    assert share_above(schedule, 0.7) == pytest.approx(above_7, abs=0.005)
    assert share_above(schedule, 0.9) == pytest.approx(above_9, abs=0.005)
    closed = 1 - 2 / math.pi * math.atan(9 / shift)
    assert share_above(schedule, 0.9) == pytest.approx(closed, abs=1e-4)


def test_tangent_times_keep_their_precision_near_the_data() -> None:
    times = law("tangent", shift=3.0).quantile(torch.tensor([1e-12], dtype=torch.float64))
    assert float(times) == pytest.approx(3e-12 * math.pi / 2, rel=1e-9)


def test_quantiles_of_logit_normal_times_are_those_of_a_normal() -> None:
    logits = law("logit_normal", loc=0.5, scale=2.0).quantile(SHARES).logit()
    normal = torch.distributions.Normal(
        torch.tensor(0.5, dtype=torch.float64), torch.tensor(2.0, dtype=torch.float64)
    )
    torch.testing.assert_close(normal.cdf(logits), SHARES)


@pytest.mark.parametrize(("dim", "loc"), [(16, 1.0), (64, 1.0 + math.log(2)), (4, 1 - math.log(2))])
def test_an_automatic_location_grows_by_half_the_logarithm_of_the_dimension(
    dim: int, loc: float
) -> None:
    schedule, middle = law("logit_normal", dim, loc="auto"), torch.tensor([0.5])
    assert float(schedule.quantile(middle).logit()) == pytest.approx(loc, rel=1e-6)
    fixed = law("logit_normal", dim, loc=loc)
    times = [s.draw(Noise(0), (8, 2), torch.zeros(1), "t") for s in (schedule, fixed)]
    torch.testing.assert_close(*times)


def plain(name: str, shape: tuple[int, ...], noise: Noise) -> Tensor:
    """The draws as they have always been."""
    if name == "uniform":
        return noise.uniform("flow times", shape, torch.zeros(1))
    return torch.sigmoid(0.5 + 2.0 * noise.normal("flow times", shape, torch.zeros(1)))


@pytest.mark.parametrize(
    ("name", "options"), [("uniform", {}), ("logit_normal", {"loc": 0.5, "scale": 2.0})]
)
def test_times_drawn_on_their_own_are_bit_for_bit_what_they_were(
    name: str, options: dict[str, float]
) -> None:
    noise = Noise(3, 7, "prior", first=2, total=9)
    times = law(name, **options).draw(noise, (5, 2, 3), torch.zeros(1), "flow times")
    assert times.equal(plain(name, (5, 2, 3), noise))


@pytest.mark.parametrize("name", ["uniform", "logit_normal", "tangent"])
def test_stratified_times_are_one_out_of_each_equal_share(name: str) -> None:
    schedule = law(name, stratified=True)
    times = schedule.draw(Noise(1, 2), (6, 4, 5), torch.zeros((), dtype=torch.float64), "t")
    edges = schedule.quantile(torch.linspace(0, 1, 121, dtype=torch.float64))
    places = torch.bucketize(times.flatten(), edges, right=True) - 1
    assert places.sort().values.equal(torch.arange(120))
    assert not places.equal(places.sort().values)


def test_each_stratified_time_alone_has_the_whole_law() -> None:
    schedule = law("uniform", stratified=True)
    like = torch.zeros((), dtype=torch.float64)
    first = torch.stack([schedule.draw(Noise(0, s), (8, 1), like, "t")[3, 0] for s in range(2000)])
    even = torch.arange(1, 2001, dtype=torch.float64) / 2000
    assert float((first.sort().values - even).abs().max()) < 1.63 / 2000**0.5  # one in a hundred


def test_a_process_draws_its_rows_of_the_stratified_batch() -> None:
    schedule, like = law("logit_normal", stratified=True), torch.zeros(1)
    whole = schedule.draw(Noise(0, 4), (8, 2, 3), like, "t")
    halves = [
        schedule.draw(Noise(0, 4, first=first, total=8), (4, 2, 3), like, "t") for first in (0, 4)
    ]
    torch.testing.assert_close(torch.cat(halves), whole)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_stratified_shares_stay_below_one(dtype: torch.dtype) -> None:
    """Where the type has no number between the last stratum and 1."""
    times = law("uniform", stratified=True).draw(
        Noise(0), (40_000, 1), torch.zeros(1, dtype=dtype), "t"
    )
    assert float(times.max()) < 1


def test_nothing_of_a_fixed_law_is_saved() -> None:
    prior = colaflex.build("prior", "mean_flow", latent_dim=8, schedule="tangent")
    assert not [name for name in prior.state_dict() if "schedule" in name]
