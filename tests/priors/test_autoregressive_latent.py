"""The autoregressive prior with each of its heads."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from random_priors import BLOCK, BLOCKS, DIM, ROWS, keys, known, latents, prefix, total
from torch import Tensor
from torch.distributions import MultivariateNormal
from toys import (
    GAUSSIAN_COVARIANCE,
    GAUSSIAN_MEAN,
    energy_distance,
    fit,
    gaussian,
    generator,
    mixture,
    sampled,
)

import colaflex
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.options import SamplingOptions
from colaflex.interfaces.prior import Known
from colaflex.interfaces.values import LatentBatch
from colaflex.priors.heads.energy import energy_score
from colaflex.testing import conformance_checks

HEADS = ("gaussian_mixture", "diffusion", "energy")
OPTIONS = SamplingOptions(steps=3)
SMALL = {
    "transformer": {"width": 32, "layers": 2, "heads": 2},
    "gaussian_mixture": {"components": 8},
    "diffusion": {"width": 48, "layers": 2},
    "energy": {"width": 48, "layers": 2, "noise_dim": 8, "samples": 4},
}


def built(head: str, dim: int = DIM, block: int = BLOCK, **options: Any) -> Any:
    settings = {**SMALL, "head": head}
    for key, values in options.items():
        settings[key] = {**settings.get(key, {}), **values}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return colaflex.build(
            "prior", "autoregressive_latent", latent_dim=dim, block_size=block, **settings
        )


def shaken(head: str, double: bool = True) -> Any:
    """All weights random: zero-initialised gates would hide every mistake."""
    prior, draws = built(head), generator(1)
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter += 0.15 * torch.randn(parameter.shape, generator=draws)
    return prior.double() if double else prior


# Invariances; the kit checks the mixture among all components.


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(*each.values, id=f"{head}-{each.id}")
        for head in HEADS[1:]
        for each in conformance_checks("prior", "autoregressive_latent", config={"head": head})
    ],
)
def test_every_head_conforms(check: Callable[[], None]) -> None:
    check()


@pytest.mark.parametrize(("double", "tolerance"), [(True, 1e-9), (False, 1e-5)])
@torch.no_grad()
def test_the_cache_changes_nothing(double: bool, tolerance: float) -> None:
    prior, values = shaken("energy", double), latents(double=double)
    states = prior._states(values)
    lengths = torch.tensor([2, 0, 1, 2, 1])
    uneven = prefix(prior, values, lengths.tolist())
    rows = torch.arange(ROWS)
    expected = states[rows, BLOCK * lengths]
    torch.testing.assert_close(uneven.state, expected, atol=tolerance, rtol=tolerance)
    # Further latents of rows of different length, and of only some of them.
    more = torch.stack([values[r, BLOCK * n : BLOCK * (n + 1)] for r, n in enumerate(lengths)])
    counts = BLOCK * torch.tensor([0, 1, 1, 0, 1])
    further = prior.commit(uneven, more, counts)
    expected = states[rows, BLOCK * lengths + counts]
    torch.testing.assert_close(further.state, expected, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("head", HEADS)
@torch.no_grad()
def test_blocks_only_group_what_is_committed(head: str) -> None:
    prior = shaken(head)
    block = prior.sample_block(prior.begin(ROWS), keys(), OPTIONS)
    state, one_by_one = prior.begin(ROWS), []
    for position in range(BLOCK):
        one_by_one.append(prior.head.sample(state.state, keys(), position, OPTIONS.steps))
        state = prior.commit(state, one_by_one[-1][:, None])
    torch.testing.assert_close(torch.stack(one_by_one, 1), block, atol=1e-9, rtol=0)


@pytest.mark.parametrize("head", HEADS)
@torch.no_grad()
def test_known_positions_stay_and_are_heard(head: str) -> None:
    prior, values, counts = shaken(head), latents(seed=3), [0, 1, 2, 3, 4]
    pins = known(values, counts)
    state = prefix(prior, latents(), [1] * ROWS)
    drawn = prior.sample_block(state, keys(), OPTIONS, pins)
    assert torch.equal(drawn[pins.mask], values[:, :BLOCK][pins.mask])
    plain = prior.sample_block(state, keys(), OPTIONS)
    torch.testing.assert_close(drawn[0], plain[0], atol=1e-9, rtol=0)
    other = prior.sample_block(state, keys(), OPTIONS, known(values + 1, counts))
    for row, count in enumerate(counts[1:-1], 1):
        assert (drawn[row, count:] - other[row, count:]).abs().max() > 1e-4
    arbitrary = Known(torch.where(pins.mask[..., None], pins.values, 99.0), pins.mask)
    assert torch.equal(drawn, prior.sample_block(state, keys(), OPTIONS, arbitrary))


@pytest.mark.parametrize("training", [True, False])
def test_latents_are_blind_to_later_ones_and_themselves(training: bool) -> None:
    prior, values = shaken("energy"), latents()
    prior.requires_grad_(training)  # attention differs where gradients flow
    before = prior._states(values)
    for position in range(1, values.shape[1]):
        changed = values.clone()
        changed[:, position:] += 1.0
        after = prior._states(changed)
        assert torch.equal(before[:, : position + 1], after[:, : position + 1])
        if position < values.shape[1] - 1:
            assert not torch.allclose(before[:, position + 1], after[:, position + 1])


# Losses.


@pytest.mark.parametrize("head", HEADS)
def test_the_encoder_learns_from_what_is_predicted_only(head: str) -> None:
    prior = shaken(head)
    values = latents().requires_grad_()
    mask = torch.zeros(ROWS, BLOCKS * BLOCK, dtype=torch.bool)
    mask[:, BLOCK : 2 * BLOCK] = True
    total(prior.losses(LatentBatch(values, mask), Noise(0))).backward()
    touched = values.grad.abs().sum((0, 2)).view(BLOCKS, BLOCK).sum(1)
    assert touched[0] == touched[2] == 0 and touched[1] > 0


# Distributions.

STEPS = {"gaussian_mixture": 150, "diffusion": 300, "energy": 300}


def trained(head: str, dim: int, block: int, toy: Any) -> Any:
    prior = built(head, dim, block, transformer={"layers": 1})
    return fit(prior, toy, STEPS[head], rows=128, rate=1e-2)


@pytest.fixture(scope="module", params=HEADS)
def gaussian_prior(request: pytest.FixtureRequest) -> Any:
    """Of the two latents of the Gaussian toy, the second depends on the first."""
    return trained(request.param, 4, 2, gaussian)


def test_a_correlated_gaussian_is_recovered(gaussian_prior: Any) -> None:
    drawn = sampled(gaussian_prior, 3000, steps=16).flatten(1)
    truth = gaussian(3000, generator(1)).flatten(1)
    off = torch.linalg.matrix_norm(drawn.T.cov() - GAUSSIAN_COVARIANCE)
    assert (drawn.mean(0) - GAUSSIAN_MEAN).abs().max() < 0.15  # deviations are 0.6 to 1.3
    assert off / torch.linalg.matrix_norm(GAUSSIAN_COVARIANCE) < 0.2
    # Without its correlations it would be 0.1 away (test_known_distributions).
    assert energy_distance(drawn, truth) < 0.015


def test_a_mixture_approaches_the_density_of_a_gaussian(gaussian_prior: Any) -> None:
    drawn = gaussian(2000, generator(9))
    everything = LatentBatch(drawn, torch.ones(drawn.shape[:2], dtype=torch.bool))
    if gaussian_prior.config.head != "gaussian_mixture":
        with pytest.raises(NotImplementedError, match="declares no likelihood"):
            gaussian_prior.log_prob(everything)
        return
    truth = MultivariateNormal(GAUSSIAN_MEAN, GAUSSIAN_COVARIANCE)
    with torch.no_grad():
        lost = truth.log_prob(drawn.flatten(1)) - gaussian_prior.log_prob(everything)
    # What a few diagonal components lack of a correlated Gaussian; a single one would
    # lose 1.5 nats with the first latent and 1.0 with the second.
    assert 0 < lost.mean() < 0.5


@pytest.mark.parametrize("head", HEADS)
def test_a_mixture_is_recovered(head: str) -> None:
    prior = trained(head, 2, 1, mixture)
    drawn, truth = sampled(prior, 3000, steps=16)[:, 0], mixture(3000, generator(1))[:, 0]
    assert (drawn.mean(0) - truth.mean(0)).abs().max() < 0.12  # deviations are 0.8 and 0.9
    # The Gaussian with the same moments is 0.05 away (test_known_distributions).
    assert energy_distance(drawn, truth) < 0.01
    if head == "gaussian_mixture":
        held = mixture(2000, generator(9))
        everything = LatentBatch(held, torch.ones(held.shape[:2], dtype=torch.bool))
        with torch.no_grad():
            lost = mixture_log_prob(held[:, 0]) - prior.log_prob(everything)
        assert -0.01 < lost.mean() < 0.05  # nats


def mixture_log_prob(points: Tensor) -> Tensor:
    centres = torch.tensor([[1.2, 0.0], [-0.6, 1.0], [-0.6, -1.0]])
    squares = (points[:, None] - centres).square().sum(-1) / (2 * 0.25**2)
    weights = torch.tensor([0.25, 0.25, 0.5]).log()
    return (weights - squares - math.log(2 * math.pi * 0.25**2)).logsumexp(1)


@pytest.mark.parametrize("dim", [1, 2])
@torch.no_grad()
def test_the_density_of_the_mixture_integrates_to_one(dim: int) -> None:
    prior = built("gaussian_mixture", dim, 2).double()
    axis = torch.linspace(-8, 8, 81, dtype=torch.float64)
    grid = torch.cartesian_prod(*[axis] * dim).view(-1, 1, dim)
    before = torch.full_like(grid, 0.7)
    second = LatentBatch(
        torch.cat([before, grid], 1), torch.tensor([[False, True]]).expand(len(grid), 2)
    )
    # Given the first latent, the second has a density; the mesh of 0.2 is fine beside deviations
    # of 0.7 (softplus of 0), for which the trapezoidal rule is exact.
    assert float(prior.log_prob(second).exp().sum() * 0.2**dim) == pytest.approx(1, abs=1e-6)


@torch.no_grad()
def test_temperature_scales_the_variance() -> None:
    one = {"components": 1}
    warm = built("gaussian_mixture", gaussian_mixture=one)
    cold = built("gaussian_mixture", gaussian_mixture={**one, "temperature": 0.25})
    state = warm.begin(ROWS)
    _, means, _ = warm.head.mixture(state.state, state.state)
    drawn = [prior.head.sample(state.state, keys(), 0, 1) - means[:, 0] for prior in (warm, cold)]
    torch.testing.assert_close(drawn[1], 0.5 * drawn[0])


def test_deviations_have_a_floor() -> None:
    prior = built("gaussian_mixture", 2, 1, gaussian_mixture={"smallest_deviation": 0.1})
    point = torch.full((256, 1, 2), 0.4)
    fit(prior, lambda rows, draws: point, steps=100)
    deviations = prior.head.mixture(prior.begin(1).state, point)[2]
    assert deviations.min() >= 0.1
    everything = LatentBatch(point[:1], torch.ones(1, 1, dtype=torch.bool))
    assert prior.log_prob(everything).item() <= -math.log(2 * math.pi * 0.1**2) + 1e-3


def test_the_energy_score_is_known_for_gaussians() -> None:
    draws = generator(0)
    samples, target = (torch.randn(*n, 2000, 1, generator=draws) for n in ((60,), ()))

    def score(scale: float, shift: float = 0.0, beta: float = 1.0) -> float:
        return float(energy_score(scale * samples + shift, target, beta).mean())

    # E|x - y| = 2 / sqrt(pi) for independent standard normals.
    best = score(1.0)
    assert best == pytest.approx(2 / math.pi**0.5, abs=0.06)
    assert best < min(score(0.5), score(1.6), score(1.0, 0.5))
    # At 2 it would be twice the square of the mean's error plus 2, whatever the scale.
    assert score(0.3, beta=1.99) == pytest.approx(score(1.0, beta=1.99), abs=0.05)
    same = torch.zeros(3, 4, 2, requires_grad=True)
    energy_score(same, torch.zeros(4, 2)).sum().backward()
    assert same.grad.isfinite().all()


# Declarations.


@pytest.mark.parametrize("head", HEADS)
@torch.no_grad()
def test_a_prior_tells_what_it_can_do(head: str) -> None:
    prior = built(head)
    capabilities = prior.config.capabilities()
    assert (capabilities.likelihood == "exact") is (head == "gaussian_mixture")
    assert capabilities.order == "latent" and not capabilities.guidance
    expected = BLOCK * (OPTIONS.steps if head == "diffusion" else 1)
    assert prior.network_evaluations(OPTIONS) == expected
    calls: list[int] = []
    part = prior.head.means if head == "gaussian_mixture" else prior.head.mlp
    part.register_forward_hook(lambda *_: calls.append(1))
    prior.sample_block(prior.begin(2), keys(range(2)), OPTIONS)
    assert len(calls) == expected
    assert prior.training_flops(8, 12) == 2 * prior.training_flops(4, 12) > 0


def test_it_is_built_from_one_word() -> None:
    prior = colaflex.build("prior", "autoregressive_latent", latent_dim=4)
    assert prior.sample(2, 1).shape == (2, 16, 4)
    with pytest.raises(Exception, match="heads of even width"):
        built("energy", transformer={"width": 32, "heads": 3})
