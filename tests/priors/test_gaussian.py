"""The Gaussian prior: its closed form, its density, and its samples."""

from __future__ import annotations

import copy
import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from random_priors import BLOCK, BLOCKS, DIM, ROWS, batch, keys, known, latents, prefix
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
from colaflex.interfaces.noise import Noise, SampleNoise
from colaflex.interfaces.options import SamplingOptions
from colaflex.interfaces.prior import Known
from colaflex.interfaces.values import LatentBatch

OPTIONS = SamplingOptions()


def built(dim: int = DIM, block: int = BLOCK, **options: Any) -> Any:
    settings = {"context": 3, "memory": "all", **options}
    return colaflex.build("prior", "gaussian", latent_dim=dim, block_size=block, **settings)


def learn(prior: Any, *batches: LatentBatch) -> Any:
    """One batch a step; the ridge rests."""
    for each in batches:
        prior.losses(each)["nll"].total.backward()
        prior.log_ridge.grad = None
    return prior


def correlated(rows: int = 40, blocks: int = BLOCKS, seed: int = 5) -> Tensor:
    """Latents of which each depends on all before it."""
    values = latents(rows, blocks, seed)
    return 0.5 * values + 0.3 * values.cumsum(1).roll(1, 2) - 0.2


@pytest.fixture(scope="module")
def learned() -> Any:
    return learn(built(), batch(correlated()))


def regression(features: Tensor, targets: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """Least squares with pseudo-observations: sqrt(ridge) times every unit vector."""
    size, out = features.shape[1], targets.shape[1]
    root = math.sqrt(ridge)
    x = torch.cat([features, root * torch.eye(size), torch.zeros(out, size)]).double()
    y = torch.cat([targets, torch.zeros(size, out), root * torch.eye(out)]).double()
    weight = torch.linalg.lstsq(x, y).solution.T
    residual = y - x @ weight.T
    return weight, residual.T @ residual / (len(features) + ridge)


@pytest.mark.parametrize("ridge", [1.0, 7.0])
def test_the_conditional_is_ridge_regression(ridge: float) -> None:
    values = correlated()
    prior = learn(built(ridge=ridge), batch(values))
    ridge = prior.log_ridge.double().exp().item()  # to the precision of its logarithm
    found = prior.begin(1).conditional
    blocks = values.unflatten(1, (-1, BLOCK)).flatten(2)
    before = [values[:, BLOCK * b - 3 : BLOCK * b].flatten(1) for b in range(1, BLOCKS)]
    rows = torch.cat(before)
    later = torch.cat([torch.ones(len(rows), 1), torch.zeros(len(rows), 3), rows], 1)
    first = torch.cat([torch.ones(len(values), 4), torch.zeros(len(values), 3 * DIM)], 1)
    cases = ((first, blocks[:, 0]), (later, blocks[:, 1:].transpose(0, 1).flatten(0, 1)))
    for case, (features, targets) in enumerate(cases):
        weight, covariance = regression(features, targets, ridge)
        torch.testing.assert_close(found.weight[case], weight, atol=1e-9, rtol=1e-9)
        root = found.root[case]
        torch.testing.assert_close(root @ root.T, covariance, atol=1e-9, rtol=1e-9)


def test_the_fit_is_the_same_however_the_batch_is_split() -> None:
    values, counts = correlated(), torch.arange(40) % (BLOCKS + 1)
    whole = batch(values, counts.tolist())
    expected = learn(built(), whole).begin(1).conditional
    for cuts in ([1], [7, 20, 39]):
        bounds = [0, *cuts, 40]
        parts = [LatentBatch(values[a:b], whole.mask[a:b]) for a, b in pairwise(bounds)]
        steps = learn(built(), *parts)
        micro = built()
        for part in parts:  # gradients add up: one step
            micro.losses(part)["nll"].total.backward()
        for prior in (steps, micro):
            found = prior.begin(1).conditional
            torch.testing.assert_close(found.weight, expected.weight, atol=1e-9, rtol=1e-9)
            torch.testing.assert_close(found.root, expected.root, atol=1e-9, rtol=1e-9)


def test_losses_add_up_and_look_at_earlier_steps_only(learned: Any) -> None:
    prior = copy.deepcopy(learned)
    whole = batch(latents(), [3, 1, 2, 0, 3])
    expected = prior.losses(whole)["nll"]
    assert expected.per == "latents" and expected.weight == 1 / DIM
    torch.testing.assert_close(expected.total, -prior.log_prob(whole).sum())
    total = 0.0
    for a, b in ((0, 2), (2, ROWS)):
        part = prior.losses(LatentBatch(whole.values[a:b], whole.mask[a:b]))["nll"].total
        part.backward()  # takes the part into the moments, and counts from the next step on
        total += part.item()
    assert total == pytest.approx(expected.total.item(), rel=1e-12)
    seen = prior.log_prob(whole).sum()
    assert seen > -expected.total
    prior.log_ridge.grad = None
    assert prior.losses(whole)["nll"].total.item() == pytest.approx(-seen.item(), rel=1e-12)


def test_only_what_is_differentiated_is_learned(learned: Any) -> None:
    prior, whole = copy.deepcopy(learned), batch(latents())
    before = prior.log_prob(whole)
    with torch.no_grad():
        prior.losses(whole)
    prior.losses(whole)
    assert torch.equal(prior.log_prob(whole), before)


def test_training_goes_on_from_its_state_exactly() -> None:
    def train(prior: Any, steps: range) -> Any:
        for step in steps:
            prior.losses(batch(correlated(8, seed=step)), Noise(0, step))["nll"].total.backward()
            with torch.no_grad():
                prior.log_ridge -= 0.1 * prior.log_ridge.grad
            prior.log_ridge.grad = None
        return prior

    whole = train(built(memory=5), range(6))
    half, other = train(built(memory=5), range(3)), built(memory=5)
    other.load_state_dict(half.state_dict())
    for name, tensor in train(other, range(3, 6)).state_dict().items():
        assert torch.equal(tensor, whole.state_dict()[name])
    assert whole.log_ridge.item() != 0


def test_memory_fades_step_by_step() -> None:
    old, new = (batch(correlated(8, seed=seed)) for seed in (1, 2))
    prior = learn(built(memory=2), old, new)
    moments = [built()._moments(each) for each in (old, new)]
    expected = moments[0] * math.exp(-0.5) + moments[1]
    torch.testing.assert_close(prior._gathered(), expected)


def test_before_it_has_seen_anything_it_is_standard_normal() -> None:
    values = latents()
    expected = -0.5 * (values.square() + math.log(2 * math.pi)).sum((1, 2))
    torch.testing.assert_close(built().log_prob(batch(values)), expected)


def test_the_number_of_pseudo_observations_is_learned() -> None:
    prior = built(ridge=50.0)
    data = batch(0.1 * latents(64))  # nothing like N(0, 1)
    optimizer = torch.optim.Adam([prior.log_ridge], lr=0.1)
    losses = []
    for step in range(20):
        loss = prior.losses(data, Noise(0))["nll"].total
        losses.append(loss.item())
        loss.backward()
        assert prior.log_ridge.grad.isfinite().all()
        assert (prior.log_ridge.grad != 0).all() or step == 0
        optimizer.step()
        optimizer.zero_grad()
    assert losses == sorted(losses, reverse=True)
    assert prior.log_ridge.exp() < 25


# Density.


def fitted(block: int = 2, **options: Any) -> Any:
    return learn(
        built(8 // block, block, **options),
        *(full(gaussian(6400, generator(seed)).view(-1, block, 8 // block)) for seed in range(4)),
    )


def full(values: Tensor) -> LatentBatch:
    return LatentBatch(values, torch.ones(values.shape[:2], dtype=torch.bool))


def test_log_prob_is_that_of_the_gaussian() -> None:
    prior = fitted()
    drawn = gaussian(4000, generator(9)).double()
    truth = MultivariateNormal(GAUSSIAN_MEAN.double(), GAUSSIAN_COVARIANCE.double())
    found, expected = prior.log_prob(full(drawn)), truth.log_prob(drawn.flatten(1))
    # 44 numbers from 25,600 samples cost 44 / 51,200 nats; that is half the variance of the log
    # ratio, so that a point is off by some 0.04.
    assert 0 < (expected - found).mean() < 0.003
    assert (expected - found).abs().mean() < 0.06


def test_a_part_of_a_block_has_its_conditional_density() -> None:
    prior = fitted(4)
    drawn = gaussian(6, generator(9)).double().view(6, 4, 2)
    mask = torch.tensor(
        [[0, 0, 1, 1], [0, 1, 0, 1], [1, 1, 0, 0], [0, 0, 0, 0], [1] * 4, [0, 1] * 2]
    )
    found = prior.log_prob(LatentBatch(drawn, mask.bool())).detach()
    state = prior.begin(1)
    mean = state.conditional.mean(
        prior._features(state.window, state.lengths), torch.tensor([True])
    )
    covariance = state.conditional.covariance(torch.tensor([True]))[0]
    for row in range(6):
        learned = mask[row].bool()
        last = int(learned.nonzero().max()) if learned.any() else -1
        given = ~learned & (torch.arange(4) < last)
        expected = 0.0
        for chosen, sign in ((learned | given, 1), (given, -1)):
            index = chosen.repeat_interleave(2).nonzero()[:, 0]
            if len(index):
                law = MultivariateNormal(mean[0, index], covariance[index][:, index])
                expected += sign * law.log_prob(drawn[row].flatten()[index])
        assert float(found[row]) == pytest.approx(float(expected), abs=1e-9)


def test_the_density_integrates_to_one() -> None:
    prior = learn(built(2, 1), full(mixture(2000, generator(0)).double()))
    axis = torch.linspace(-8, 8, 401, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)[:, None]
    # The trapezoidal rule is exact for Gaussians that are wide beside its mesh of 0.04.
    integral = prior.log_prob(full(grid)).exp().sum() * 0.04**2
    assert integral.item() == pytest.approx(1, abs=1e-6)


def test_diagonal_covariances_are_the_variances_of_the_full_ones() -> None:
    values = batch(correlated())
    whole, diagonal = (
        learn(built(covariance=kind), values).begin(1).conditional for kind in ("full", "diagonal")
    )
    torch.testing.assert_close(diagonal.weight, whole.weight)
    for wide, narrow in zip(whole.root, diagonal.root, strict=True):
        torch.testing.assert_close(narrow @ narrow.T, (wide @ wide.T).diagonal().diag())


def test_what_lies_behind_a_rows_end_never_matters(learned: Any) -> None:
    values, counts = latents(), [3, 1, 2, 0, 3]
    mask = batch(values, counts).mask
    other = torch.where(mask[..., None], values, 50.0)
    before, after = (copy.deepcopy(learned) for _ in range(2))
    one = before.losses(batch(values, counts))["nll"].total
    two = after.losses(batch(other, counts))["nll"].total
    assert torch.equal(one, two)
    one.backward()
    two.backward()
    assert torch.equal(before.fresh, after.fresh)


def test_blocks_are_blind_to_later_ones(learned: Any) -> None:
    values = latents()
    for block in range(1, BLOCKS):
        changed = values.clone()
        changed[:, block * BLOCK :] += 1.0
        mask = (torch.arange(BLOCKS * BLOCK) < block * BLOCK).expand(ROWS, -1)
        before, after = (learned.log_prob(LatentBatch(v, mask)) for v in (values, changed))
        assert torch.equal(before, after)


@pytest.mark.parametrize("context", [0, 2, 4, 9])
@torch.no_grad()
def test_training_sees_what_sampling_sees(context: int) -> None:
    prior, values = built(context=context), latents()
    features, opens, _ = prior._rows(values)
    features = features.view(ROWS, BLOCKS, -1)
    assert opens.view(ROWS, BLOCKS).sum() == ROWS
    uneven = prior.commit(prior.begin(ROWS), values, BLOCK * torch.tensor([2, 0, 1, 1, 2]))
    for row, count in enumerate([2, 0, 1, 1, 2]):
        alone = prior.begin(1)
        for block in range(count):
            own = values[row : row + 1, block * BLOCK : (block + 1) * BLOCK]
            alone = prior.commit(alone, own)
        for state, place in ((uneven, row), (alone, 0)):
            found = prior._features(state.window, state.lengths)[place]
            assert torch.equal(found, features[row, count])


# Sampling.


def test_a_gaussian_is_recovered() -> None:
    prior = fitted()
    drawn = sampled(prior, 4000).flatten(1)
    truth = gaussian(4000, generator(1)).flatten(1)
    # Deviations are up to 1.3: five standard errors of 4,000 draws.
    torch.testing.assert_close(drawn.mean(0), GAUSSIAN_MEAN, atol=0.1, rtol=0)
    off = torch.linalg.matrix_norm(drawn.T.cov() - GAUSSIAN_COVARIANCE)
    assert off / torch.linalg.matrix_norm(GAUSSIAN_COVARIANCE) < 0.1
    assert energy_distance(drawn, truth) < 0.005


MAP = torch.tensor([[0.9, 0.3], [-0.5, 0.7]])


def chain(rows: int, draws: torch.Generator) -> Tensor:
    """Two blocks of one latent; the second is linear in the first, and noise of deviation 0.3."""
    first = torch.randn(rows, 2, generator=draws)
    second = first @ MAP.T + 0.3 * torch.randn(rows, 2, generator=draws)
    return torch.stack([first, second], 1)


def test_a_block_is_drawn_given_the_one_before() -> None:
    """As every other prior is trained, by the common loop."""
    prior = fit(built(2, 1, context=2), chain, steps=40)
    first, second = sampled(prior, 4000, blocks=2).unbind(1)
    found = torch.linalg.lstsq(first, second).solution.T
    torch.testing.assert_close(found, MAP, atol=0.03, rtol=0)
    residual = (second - first @ found.T).std(0)
    torch.testing.assert_close(residual, torch.full((2,), 0.3), atol=0.02, rtol=0)
    torch.testing.assert_close(first.std(0), torch.ones(2), atol=0.06, rtol=0)


def test_known_positions_condition_the_others() -> None:
    prior = fitted(4)
    rows = 4000
    mask = torch.tensor([True, False, True, False])
    given = torch.tensor([[0.5, -1.0], [9.0, 9.0], [1.5, 0.2], [9.0, 9.0]])
    pins = Known(given.expand(rows, -1, -1), mask.expand(rows, -1))
    noise = SampleNoise(tuple(map(str, range(rows))))
    drawn = prior.sample_block(prior.begin(rows), noise, OPTIONS, pins)
    assert torch.equal(drawn[:, mask], pins.values[:, mask])
    held = mask.repeat_interleave(2)
    one, two = GAUSSIAN_COVARIANCE[~held][:, held], GAUSSIAN_COVARIANCE[held][:, held]
    gain = one @ torch.linalg.inv(two)
    mean = GAUSSIAN_MEAN[~held] + gain @ (given[mask].flatten() - GAUSSIAN_MEAN[held])
    covariance = GAUSSIAN_COVARIANCE[~held][:, ~held] - gain @ one.T
    free = drawn[:, ~mask].flatten(1)
    # Deviations are below 0.7; what is known is off by 2, times errors of the gain near 0.01.
    torch.testing.assert_close(free.mean(0), mean, atol=0.08, rtol=0)
    torch.testing.assert_close(free.T.cov(), covariance, atol=0.04, rtol=0)


@torch.no_grad()
def test_a_row_does_not_depend_on_its_batch(learned: Any) -> None:
    values, lengths, given = latents(), [2, 0, 3, 1, 2], [1, 0, 0, 3, 4]
    pins = known(latents(seed=3), given)
    prior = copy.deepcopy(learned).double()
    state = prefix(prior, values, lengths)
    together = prior.sample_block(state, keys(), OPTIONS, pins)
    assert torch.equal(together, prior.sample_block(state, keys(), OPTIONS, pins))
    for row in range(ROWS):
        own = values[row : row + 1, : lengths[row] * BLOCK]
        alone = prior.sample_block(
            prior.commit(prior.begin(1), own),
            keys([row]),
            OPTIONS,
            Known(pins.values[row : row + 1], pins.mask[row : row + 1]) if given[row] else None,
        )
        torch.testing.assert_close(alone[0], together[row], atol=1e-9, rtol=1e-9)
    chosen = torch.tensor([3, 1])
    some = prior.sample_block(prior.select(state, chosen), keys().select([3, 1]), OPTIONS)
    all_rows = prior.sample_block(state, keys(), OPTIONS)
    torch.testing.assert_close(some, all_rows[chosen], atol=1e-9, rtol=1e-9)


def test_it_is_built_from_one_word() -> None:
    prior = colaflex.build("prior", "gaussian", latent_dim=4)
    assert prior.sample(2, 2).shape == (2, 32, 4)
    capabilities = prior.config.capabilities()
    assert (capabilities.likelihood, capabilities.guidance) == ("exact", False)
    assert prior.network_evaluations(OPTIONS) == 1
    assert prior.training_flops(8, 32) > prior.training_flops(4, 32) > 0
    assert [p.shape for p in prior.phases()[0].parameters] == [(1,)]
