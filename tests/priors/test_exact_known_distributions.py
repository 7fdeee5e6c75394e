"""Priors with exact densities, fitted to distributions that are known in closed form."""

from __future__ import annotations

import pytest
import torch
from exact_priors import EXACT, exact_prior, whole
from toys import (
    GAUSSIAN_COVARIANCE,
    GAUSSIAN_MEAN,
    chain,
    energy_distance,
    fit,
    gaussian,
    generator,
    mixture,
    sampled,
)

from colaflex.interfaces.values import LatentBatch

STEPS = {"normalizing_flow": 250, "autoregressive_flow": 120}


def true_log_prob(values: torch.Tensor) -> torch.Tensor:
    law = torch.distributions.MultivariateNormal(GAUSSIAN_MEAN, GAUSSIAN_COVARIANCE)
    return law.log_prob(values.flatten(1))


@pytest.mark.slow
@pytest.mark.parametrize("name", EXACT)
def test_a_correlated_gaussian_is_recovered(name: str) -> None:
    prior = fit(exact_prior(name, 4, 2), gaussian, steps=STEPS[name], rows=128)
    values = gaussian(2000, generator(5))
    with torch.no_grad():
        gap = true_log_prob(values) - prior.log_prob(whole(values))
    # The mean is the KL divergence, in nats of 8 dimensions.
    assert -0.05 < gap.mean() < 0.15
    assert gap.abs().mean() < 0.4
    drawn = sampled(prior, 2000).flatten(1)
    assert energy_distance(drawn, values.flatten(1)) < 0.015


@pytest.mark.parametrize("name", EXACT)
def test_a_mixture_is_recovered(name: str) -> None:
    # An affine flow across positions has nothing to bend a single latent with: two of one channel.
    shape = (1, 2) if name == "normalizing_flow" else (2, 1)

    def toy(rows: int, draws: torch.Generator) -> torch.Tensor:
        return mixture(rows, draws).view(rows, *shape)

    prior = fit(
        exact_prior(name, shape[1], shape[0]),
        toy,
        steps=STEPS[name] if shape == (1, 2) else 350,
        rate=4e-3,
    )
    drawn = sampled(prior, 3000).flatten(1)
    # A Gaussian of the same moments is more than 0.05 away (test_known_distributions.py).
    assert energy_distance(drawn, toy(3000, generator(1)).flatten(1)) < 0.02


@pytest.mark.parametrize("name", EXACT)
def test_a_block_is_drawn_given_the_one_before(name: str) -> None:
    prior = fit(exact_prior(name, 1), chain, steps=150, rows=128)
    values = chain(2000, generator(7))
    mask = torch.tensor([False, True]).expand(2000, -1)
    with torch.no_grad():
        found = prior.log_prob(LatentBatch(values, mask))
    truth = torch.distributions.Normal(0.9 * values[:, 0, 0], 0.3).log_prob(values[:, 1, 0])
    # Without the history the gap would be log(sqrt(0.9) / 0.3) = 1.15 nats.
    assert -0.02 < (truth - found).mean() < 0.06
    first, second = sampled(prior, 3000, blocks=2).flatten(1).unbind(1)
    assert float(first @ second / first.square().sum()) == pytest.approx(0.9, abs=0.05)
    assert float((second - 0.9 * first).std()) == pytest.approx(0.3, abs=0.05)
