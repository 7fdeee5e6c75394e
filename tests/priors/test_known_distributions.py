"""Both priors recover distributions that are known, within tolerances stated here.

Each prior has two layers of width 64 and sees some 100,000 samples, so that what is left is the
error of a short training; sampling 4,000 rows adds 0.02 to a mean, 0.03 to a covariance and 0.002
to an energy distance. How much an energy distance means, the tests say themselves: a distribution
that has the moments right and nothing else must be several times as far away.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from toys import (
    GAUSSIAN_COVARIANCE,
    GAUSSIAN_MEAN,
    Sampler,
    energy_distance,
    fit,
    gaussian,
    generator,
    mixture,
    sampled,
    small_prior,
)

ROWS = 4000
OPTIONS = {"solver": "midpoint", "schedule": {"loc": 0.0}}


@pytest.fixture(scope="module")
def mixture_flow() -> Any:
    return fit(small_prior("flow_matching", 2, **OPTIONS), mixture, steps=350)


@pytest.fixture(scope="module")
def mixture_rectified() -> Any:
    """Trains its own teacher."""
    prior = small_prior("rectified_flow", 2, teacher_steps=6, **OPTIONS)
    return fit(prior, mixture, steps=550)


@pytest.fixture(scope="module")
def gaussian_flow() -> Any:
    return fit(small_prior("flow_matching", 4, 2, **OPTIONS), gaussian, steps=350)


@pytest.fixture(scope="module")
def gaussian_rectified(gaussian_flow: Any) -> Any:
    """Learns from a teacher that is trained already."""
    prior = small_prior("rectified_flow", 4, 2, teacher_steps=6, **OPTIONS)
    prior.adopt_teacher(gaussian_flow)
    return fit(prior, gaussian, steps=150)


def errors(prior: Any, toy: Sampler, **options: Any) -> tuple[float, float, float]:
    """Largest error of the mean, relative Frobenius error of the covariance, energy distance."""
    drawn = sampled(prior, ROWS, **options).flatten(1)
    truth = toy(400_000, generator(1)).flatten(1)
    mean = (drawn.mean(0) - truth.mean(0)).abs().max()
    covariance = truth.T.cov()
    off = torch.linalg.matrix_norm(drawn.T.cov() - covariance) / torch.linalg.matrix_norm(
        covariance
    )
    return float(mean), float(off), energy_distance(drawn, truth[:ROWS])


def energy_of_moments(toy: Sampler, correlated: bool) -> float:
    """Energy distance of the Gaussian with the toy's mean and covariance, or only its variances."""
    truth = toy(ROWS, generator(2)).flatten(1)
    covariance = truth.T.cov() if correlated else truth.var(0).diag()
    noise = torch.randn(truth.shape, generator=generator(3))
    drawn = truth.mean(0) + noise @ torch.linalg.cholesky(covariance).T
    return energy_distance(drawn, toy(ROWS, generator(4)).flatten(1))


@pytest.mark.parametrize("prior", ["mixture_flow", "mixture_rectified"])
def test_a_mixture_is_recovered(prior: str, request: pytest.FixtureRequest) -> None:
    mean, covariance, energy = errors(request.getfixturevalue(prior), mixture, steps=16)
    assert mean < 0.12  # deviations are 0.8 and 0.9
    assert covariance < 0.15
    assert energy < 0.01
    assert energy_of_moments(mixture, correlated=True) > 5 * 0.01


@pytest.mark.parametrize(
    "prior", ["gaussian_flow", pytest.param("gaussian_rectified", marks=pytest.mark.slow)]
)
def test_a_correlated_gaussian_is_recovered(prior: str, request: pytest.FixtureRequest) -> None:
    mean, covariance, energy = errors(request.getfixturevalue(prior), gaussian, steps=16)
    assert mean < 0.15  # deviations are 0.6 to 1.3
    assert covariance < 0.2
    assert energy < 0.015
    assert energy_of_moments(gaussian, correlated=False) > 5 * 0.015


def test_the_toy_is_what_it_says() -> None:
    drawn = gaussian(100_000, generator(0)).flatten(1)
    torch.testing.assert_close(drawn.mean(0), GAUSSIAN_MEAN, atol=0.02, rtol=0)
    torch.testing.assert_close(drawn.T.cov(), GAUSSIAN_COVARIANCE, atol=0.03, rtol=0)


@pytest.mark.parametrize("steps", [1, 2])
def test_reflow_needs_fewer_steps(mixture_flow: Any, mixture_rectified: Any, steps: int) -> None:
    for prior in (mixture_flow, mixture_rectified):
        prior.solver = small_prior("flow_matching", 2, solver="euler").solver
    try:
        flow, rectified = (
            errors(prior, mixture, steps=steps)[2] for prior in (mixture_flow, mixture_rectified)
        )
    finally:
        for prior in (mixture_flow, mixture_rectified):
            prior.solver = small_prior("flow_matching", 2, **OPTIONS).solver
    # One Euler step of plain flow matching falls near the mean of all data.
    assert flow > 0.08
    assert rectified < 0.02


def test_the_clean_latent_can_be_predicted_instead() -> None:
    prior = fit(small_prior("flow_matching", 2, prediction="x0", **OPTIONS), mixture, steps=200)
    mean, covariance, energy = errors(prior, mixture, steps=6)
    assert mean < 0.12
    assert covariance < 0.2
    assert energy < 0.02
    # A solver that would ask at t = 0, where dividing by t means nothing, does no worse.
    prior.solver = small_prior("flow_matching", 2, solver="heun").solver
    assert errors(prior, mixture, steps=6)[2] < 0.02


MAP = torch.tensor([[0.9, 0.3], [-0.5, 0.7]])


def rotated(rows: int, draws: torch.Generator) -> torch.Tensor:
    """Two blocks of one latent; the second is linear in the first, and noise of deviation 0.3."""
    first = torch.randn(rows, 2, generator=draws)
    second = first @ MAP.T + 0.3 * torch.randn(rows, 2, generator=draws)
    return torch.stack([first, second], 1)


def test_a_block_is_drawn_given_the_one_before() -> None:
    prior = fit(small_prior("flow_matching", 2, **OPTIONS), rotated, steps=400)
    first, second = sampled(prior, ROWS, blocks=2, steps=8).unbind(1)
    found = torch.linalg.lstsq(first, second).solution.T
    torch.testing.assert_close(found, MAP, atol=0.12, rtol=0)
    residual = (second - first @ found.T).std(0)
    assert ((residual > 0.2) & (residual < 0.42)).all()
    torch.testing.assert_close(first.std(0), torch.ones(2), atol=0.12, rtol=0)
