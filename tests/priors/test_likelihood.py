"""Likelihoods along the ODE: change of variables, closed forms, what training by them needs."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from exact_priors import Given, whole
from hypothesis import given
from hypothesis import strategies as st
from random_priors import BLOCK, BLOCKS, DIM, ROWS, batch, latents, prefix, shaken, smooth
from torch import Tensor
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
    small_prior,
)

from colaflex.interfaces.noise import Noise
from colaflex.interfaces.options import SamplingOptions
from colaflex.interfaces.values import LatentBatch
from colaflex.priors.ode_density import Integration, block_directions, log_density

FINE = {"solver": "rk4", "likelihood_steps": 16}


def linear(time: Tensor, points: Tensor) -> Tensor:
    """dz/dt = (log 2) cos(t) A z, block by block; divergence (log 2) cos(t) tr A."""
    flat = points.flatten(-2)
    return (math.log(2) * torch.cos(time) * (flat @ MATRIX.T)).view_as(points)


MATRIX = torch.tensor(
    [[0.5, 0.3, 0.0, 0.2], [-0.4, 0.1, 0.6, 0.0], [0.1, 0, -0.8, 0], [0, 0, 0.5, 1]]
)
MATRIX = MATRIX.double()


@pytest.mark.parametrize("exact", [True, False])
@torch.no_grad()
def test_the_density_of_a_linear_flow_is_gaussian(exact: bool) -> None:
    data = torch.randn(400, 2, 2, 2, generator=generator(0)).double()
    free = torch.ones(400, 2, 2, dtype=torch.bool)
    directions = None if exact else block_directions(data)
    found = log_density(linear, data, free, Integration(48 if exact else 24, directions))
    power = torch.linalg.matrix_exp(math.log(2) * math.sin(1.0) * MATRIX)
    covariance = torch.linalg.inv(power.T @ power)
    law = torch.distributions.MultivariateNormal(torch.zeros(4).double(), covariance)
    expected = law.log_prob(data.flatten(-2))
    if exact:
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    else:
        # Off-diagonal entries add up to a deviation of 0.6; 800 blocks, five standard errors.
        error = found - expected
        assert error.std() < 0.7
        assert abs(error.mean()) < 5 * 0.7 / 800**0.5


def test_few_intervals_resolve_what_is_divided_by_time() -> None:
    """(z - E[z0 | z]) / t of data N(0, 1/4): the density is that of z / (1 - t) at the first t."""
    first, spread = 0.02, 0.5

    def velocity(time: Tensor, points: Tensor) -> Tensor:
        share = (1 - time) * spread**2 / ((1 - time) ** 2 * spread**2 + time**2)
        return (1 - share) / time * points

    data = torch.linspace(-1, 1, 9).double().view(9, 1, 1, 1)
    free = torch.ones(9, 1, 1, dtype=torch.bool)
    found = log_density(velocity, data, free, Integration(8, first=first))
    law = torch.distributions.Normal(0.0, math.hypot(spread, first / (1 - first)))
    torch.testing.assert_close(found, law.log_prob(data[..., 0, 0]), atol=1e-3, rtol=0)


def test_directions_belong_to_the_block_they_are_for() -> None:
    data = torch.randn(3, 2, 4, 2, generator=generator(0))
    signs = block_directions(data)
    assert set(signs.unique().tolist()) == {-1.0, 1.0}
    assert torch.equal(block_directions(data[[2]]), signs[[2]])
    assert torch.equal(block_directions(data.double()), signs.double())
    assert not torch.equal(signs[0], signs[1])


@pytest.mark.parametrize("name", ["flow_matching", "cnf"])
def test_log_prob_is_the_change_of_variables_of_sampling(name: str) -> None:
    finer = {**FINE, "likelihood_steps": 24}
    prior = smooth(shaken(name, divergence="exact", **finer)).requires_grad_(False)
    history, noise = latents(1, 1), latents(1, 1, seed=5)
    state = prefix(prior, history, [1])
    options = SamplingOptions(8)

    def drawn(start: Tensor) -> Tensor:
        made: Tensor = prior.sample_block(state, Given(start.view_as(noise)), options)
        return made.flatten()

    jacobian = torch.autograd.functional.jacobian(drawn, noise.flatten(), vectorize=True)
    normal = -0.5 * (noise.square() + math.log(2 * math.pi)).sum()
    expected = normal - torch.linalg.slogdet(jacobian).logabsdet
    values = torch.cat([history, drawn(noise.flatten()).view_as(noise)], 1)
    mask = torch.arange(2 * BLOCK)[None] >= BLOCK
    found = prior.log_prob(LatentBatch(values, mask))
    # Both are to the fourth order, of even steps of 1/8 and of 24 in even ratios.
    torch.testing.assert_close(found[0], expected, atol=1e-3, rtol=0)


def test_rows_and_blocks_are_independent_and_the_mask_is_heeded() -> None:
    prior, values = smooth(shaken(likelihood_steps=4)), latents()
    assert prior.config.capabilities().likelihood == "ode"
    counts = [3, 1, 2, 0, 3]
    data = batch(values, counts)
    found = prior.log_prob(data)
    assert not found.requires_grad and float(found[3]) == 0
    alone = torch.cat(
        [prior.log_prob(LatentBatch(values[r : r + 1], data.mask[r : r + 1])) for r in range(ROWS)]
    )
    torch.testing.assert_close(alone, found, atol=1e-9, rtol=0)
    behind = torch.where(data.mask[..., None], values, 50.0)
    torch.testing.assert_close(
        prior.log_prob(LatentBatch(behind, data.mask)), found, atol=1e-9, rtol=0
    )
    block = torch.arange(BLOCKS * BLOCK) // BLOCK
    parts = [
        prior.log_prob(LatentBatch(values, data.mask & (block == index))) for index in range(BLOCKS)
    ]
    torch.testing.assert_close(sum(parts), found, atol=1e-9, rtol=0)


@torch.no_grad()
def test_the_density_integrates_to_one() -> None:
    prior = small_prior("flow_matching", 2, divergence="exact", likelihood_steps=8)
    draws = generator(1)
    for parameter in prior.parameters():
        parameter.add_(0.1 * torch.randn(parameter.shape, generator=draws))
    axis = torch.linspace(-6, 6, 41)
    grid = torch.cartesian_prod(axis, axis)[:, None]
    total = prior.log_prob(whole(grid)).exp().sum() * (axis[1] - axis[0]) ** 2
    assert float(total) == pytest.approx(1, abs=0.02)


# Maximum likelihood.


def loss_of(prior: Any, values: Tensor) -> Tensor:
    total: Tensor = prior.losses(whole(values), Noise(0))["nll"].total
    return total


PLAIN = {"history_dropout": 0.0, "pinned_blocks": 0.0}


@pytest.mark.parametrize("divergence", ["exact", "hutchinson"])
def test_gradients_are_those_of_the_density(divergence: str) -> None:
    """Through second derivatives and recomputed activations, against differences."""
    options = {"divergence": divergence, "training_steps": 2, "pinned_blocks": 1.0}
    prior, values = smooth(shaken("cnf", **options)), latents(2, 2)
    loss_of(prior, values).backward()
    draws = generator(4)
    direction = [torch.randn(p.shape, generator=draws).double() for p in prior.parameters()]
    slope = sum(
        float((p.grad * d).sum())
        for p, d in zip(prior.parameters(), direction, strict=True)
        if p.grad is not None
    )
    ends = []
    for sign in (1, -1):
        with torch.no_grad():
            for p, d in zip(prior.parameters(), direction, strict=True):
                p.add_((1 if sign == 1 else -2) * 1e-5 * d)
        ends.append(float(loss_of(prior, values).detach()))
    assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(slope, rel=1e-5)


def test_the_loss_is_the_log_density() -> None:
    prior = smooth(shaken("cnf", divergence="exact", training_steps=1, likelihood_steps=1, **PLAIN))
    values = latents(2, 1)
    expected = -prior.log_prob(whole(values)).sum() / DIM
    torch.testing.assert_close(loss_of(prior, values).detach(), expected, atol=1e-9, rtol=0)


@given(st.integers(1, 20), st.floats(-0.5, 0.5), st.sampled_from([0.0, 0.001, 0.02]))
def test_moved_edges_leave_the_ends(steps: int, shift: float, first: float) -> None:
    integration = Integration(steps, shift=shift, first=first)
    shares = integration.shares()
    assert (len(shares), shares[0], shares[-1]) == (steps + 1, 0.0, 1.0)
    assert bool((shares.diff() >= 0.5 / steps - 1e-12).all())
    times, _ = integration.time(shares)
    assert times[0] == pytest.approx(first, abs=1e-12) and float(times[-1]) == 1.0


@pytest.mark.parametrize("first", [0.0, 0.02])
def test_the_rate_is_the_slope_of_the_time(first: float) -> None:
    share = torch.linspace(0.1, 0.9, 5, dtype=torch.float64)
    integration = Integration(8, first=first)
    (later, _), (earlier, _) = (integration.time(share + step) for step in (1e-6, -1e-6))
    slope = (later - earlier) / 2e-6
    torch.testing.assert_close(slope, integration.time(share)[1], rtol=1e-6, atol=0)


def test_every_training_step_has_its_own_grid() -> None:
    """What one fixed grid misjudges could be learned."""
    prior = smooth(shaken("cnf", divergence="exact", training_steps=2, **PLAIN))
    values = whole(latents(2, 1))
    found = [
        float(prior.losses(values, Noise(0, step))["nll"].total.detach()) for step in (0, 1, 0)
    ]
    assert found[0] == found[2] != found[1]


def test_a_cnf_starts_with_flow_matching_unless_told_not_to() -> None:
    prior = shaken("cnf", warm_start=0.75)
    first, second = prior.phases()
    assert (first.name, first.share, second.name) == ("warm_start", 0.75, "prior")
    assert second.share == pytest.approx(0.25)
    assert (first.lr_ratio, second.lr_ratio) == (1.0, 0.2)
    assert set(first.losses(batch(latents()), Noise(0))) == {"flow"}
    assert set(second.losses(batch(latents()), Noise(0))) == {"nll"}
    assert second.flops(2, 8) > 8 * first.flops(2, 8)
    assert [p.name for p in shaken("cnf", warm_start=0).phases()] == ["prior"]


def kl(prior: Any) -> float:
    law = torch.distributions.MultivariateNormal(GAUSSIAN_MEAN, GAUSSIAN_COVARIANCE)
    values = gaussian(200, generator(5))
    return float((law.log_prob(values.flatten(1)) - prior.log_prob(whole(values))).mean())


def test_maximum_likelihood_improves_on_its_start() -> None:
    options = {"schedule": {"loc": 0.0}, "likelihood_steps": 10, **PLAIN}
    start = fit(small_prior("flow_matching", 4, 2, **options), gaussian, 90, rows=128)
    # As many steps of flow matching, and 60 of maximum likelihood: of half as many, what is gained
    # is about the bound, and differs with the order in which a processor adds numbers up.
    options |= {"training_steps": 3, "warm_start": 0.6}
    prior = fit(small_prior("cnf", 4, 2, **options), gaussian, 150, rows=128, rate=3e-3)
    before, after = kl(start), kl(prior)
    assert -0.1 < after < 0.8 * before


def test_a_cnf_learns_from_scratch() -> None:
    def scaled(rows: int, draws: torch.Generator) -> Tensor:
        return 1 + 0.5 * torch.randn(rows, 1, 1, generator=draws)

    options = {"divergence": "exact", "training_steps": 3, "warm_start": 0.0, **PLAIN}
    prior = fit(small_prior("cnf", 1, **options), scaled, 40, rows=64)
    values = torch.linspace(-0.2, 2.2, 13).view(13, 1, 1)
    truth = torch.distributions.Normal(1.0, 0.5).log_prob(values[:, 0, 0])
    # The standard normal is up to 2 nats away.
    assert (prior.log_prob(whole(values)) - truth).abs().max() < 0.3
    drawn = sampled(prior, 2000, steps=16)
    assert float(drawn.mean()) == pytest.approx(1.0, abs=0.1)
    assert float(drawn.std()) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(("toy", "dim", "blocks"), [(mixture, 2, 1), (chain, 1, 2)])
def test_a_cnf_draws_from_what_it_learned(toy: Any, dim: int, blocks: int) -> None:
    network = {"width": 32, "layers": 1, "time_width": 32}
    options = {"schedule": {"loc": 0.0}, "history_dropout": 0.0, "network": network}
    prior = small_prior("cnf", dim, training_steps=2, **options)
    fit(prior, toy, 250, rows=64, rate=1e-2)
    drawn, truth = sampled(prior, 3000, blocks, steps=16), toy(3000, generator(1))
    assert energy_distance(drawn.flatten(1), truth.flatten(1)) < 0.045
