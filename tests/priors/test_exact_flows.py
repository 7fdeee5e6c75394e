"""Priors with exact densities: closed forms, change of variables, invariances."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from exact_priors import EXACT, Given, exact_prior, random_weights, whole
from toys import generator

from colaflex.interfaces.noise import Noise, SampleNoise
from colaflex.interfaces.options import SamplingOptions
from colaflex.interfaces.prior import Known
from colaflex.interfaces.values import LatentBatch
from colaflex.priors.causal_state import denoised

DIM, BLOCK, BLOCKS, ROWS = 3, 4, 3, 5
OPTIONS = SamplingOptions()
VARIANTS = [
    ("normalizing_flow", {}),
    ("normalizing_flow", {"transform": "affine", "channels": "autoregressive"}),
    ("autoregressive_flow", {}),
]


def latents(rows: int = ROWS, blocks: int = BLOCKS, seed: int = 2, double: bool = True) -> Any:
    values = torch.randn(rows, blocks * BLOCK, DIM, generator=generator(seed))
    return values.double() if double else values


def keys(rows: Any = range(ROWS)) -> SampleNoise:
    return SampleNoise(tuple(f"row {row}" for row in rows))


def normal(values: torch.Tensor) -> torch.Tensor:
    return -0.5 * (values.square() + math.log(2 * math.pi)).flatten(1).sum(1)


# Change of variables.


@pytest.mark.parametrize("name", EXACT)
@torch.no_grad()
def test_an_untrained_flow_is_the_standard_normal(name: str) -> None:
    prior, values = exact_prior(name, DIM, BLOCK).double(), latents()
    torch.testing.assert_close(prior.log_prob(whole(values)), normal(values), atol=1e-9, rtol=0)
    noise = latents()[:, :BLOCK]
    drawn = prior.sample_block(prior.begin(ROWS), Given(noise), OPTIONS)
    torch.testing.assert_close(drawn, noise, atol=1e-9, rtol=0)


@pytest.mark.parametrize(("name", "options"), VARIANTS)
@pytest.mark.parametrize("given", [0, 1, 3])
def test_log_prob_is_the_change_of_variables_of_sampling(
    name: str, options: Any, given: int
) -> None:
    """Cached sampling against parallel densities: inverse, determinant, history, all at once."""
    prior = random_weights(exact_prior(name, DIM, BLOCK, **options))
    prior.requires_grad_(False)
    history, noise = latents(1, 2), latents(1, 1, seed=5)
    state = prior.commit(prior.begin(1), history)
    known = Known(latents(1, 1, seed=6), torch.arange(BLOCK)[None] < given)
    # The flow of a block with a known prefix takes its noise from the front.
    used = slice(given, None) if name == "normalizing_flow" else slice(0, BLOCK - given)

    def free(part: torch.Tensor) -> torch.Tensor:
        start = noise.clone()
        start[:, used] = part.view(1, BLOCK - given, DIM)
        drawn = prior.sample_block(state, Given(start), OPTIONS, known if given else None)
        return drawn[0, given:].flatten()

    part = noise[0, used].flatten()
    jacobian = torch.autograd.functional.jacobian(free, part)
    expected = normal(part[None]) - torch.linalg.slogdet(jacobian).logabsdet
    block = torch.cat([known.values[:, :given], free(part).view(1, -1, DIM)], 1)
    values = torch.cat([history, block], 1)
    mask = torch.arange(3 * BLOCK)[None] >= 2 * BLOCK + given
    found = prior.log_prob(LatentBatch(values, mask))
    torch.testing.assert_close(found, expected, atol=1e-8, rtol=0)


@pytest.mark.parametrize("name", EXACT)
@torch.no_grad()
def test_inverse_and_forward_are_the_identity_in_single_precision(name: str) -> None:
    prior = random_weights(exact_prior(name, DIM, BLOCK), 0.05, double=False)
    noise = torch.randn(64, BLOCK, DIM, generator=generator(3))
    drawn = prior.sample_block(prior.begin(64), Given(noise), OPTIONS)
    if name == "normalizing_flow":
        back = prior.flow(prior.states(drawn)).transform(drawn)
    else:
        from colaflex.priors.autoregressive_flow import Places

        count = torch.full((64,), BLOCK)
        places, back = Places(count - BLOCK, count, BLOCK), drawn
        for flow in prior.flows:
            back, _ = flow(back, prior.begin(64).state, places)
    torch.testing.assert_close(back, noise, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(drawn, noise, atol=0.1)


@pytest.mark.parametrize("name", EXACT)
@torch.no_grad()
def test_the_density_integrates_to_one(name: str) -> None:
    dim, block = (2, 1) if name == "normalizing_flow" else (1, 2)
    prior = random_weights(exact_prior(name, dim, block), 0.1)
    axis = torch.linspace(-9, 9, 121, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis).view(-1, block, dim)
    density = prior.log_prob(whole(grid)).exp()
    # A smooth density that vanishes at the border: the sum converges fast in the step of 0.15.
    assert float(density.sum() * (axis[1] - axis[0]) ** 2) == pytest.approx(1, abs=5e-3)
    assert not torch.allclose(density, normal(grid).exp(), atol=1e-2)


@pytest.mark.parametrize("name", EXACT)
@torch.no_grad()
def test_blocks_add_up_and_see_only_what_is_before_them(name: str) -> None:
    prior, values = random_weights(exact_prior(name, DIM, BLOCK)), latents()
    block = torch.arange(BLOCKS * BLOCK) // BLOCK
    parts = [prior.log_prob(LatentBatch(values, (block == b).expand(ROWS, -1))) for b in range(3)]
    torch.testing.assert_close(sum(parts), prior.log_prob(whole(values)), atol=1e-9, rtol=0)
    for b in range(BLOCKS):
        changed = values.clone()
        changed[:, (b + 1) * BLOCK :] += 1
        mask = (block == b).expand(ROWS, -1)
        same = prior.log_prob(LatentBatch(changed, mask))
        torch.testing.assert_close(same, parts[b], atol=1e-12, rtol=0)
        if b:
            changed = values.clone()
            changed[:, 0] += 1
            other = prior.log_prob(LatentBatch(changed, mask))
            assert (other - parts[b]).abs().min() > 1e-4


# Sampling.


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("noise", [0.0, 0.3])
@torch.no_grad()
def test_a_row_does_not_depend_on_its_batch(name: str, noise: float) -> None:
    prior, values = random_weights(exact_prior(name, DIM, BLOCK, noise=noise)), latents()
    lengths, given = [2, 0, 3, 1, 2], [1, 0, 0, 3, 2]
    mask = torch.arange(BLOCK) < torch.tensor(given)[:, None]
    pins = Known(latents(seed=3)[:, :BLOCK], mask)
    state = prior.commit(prior.begin(ROWS), values, BLOCK * torch.tensor(lengths))
    together = prior.sample_block(state, keys(), OPTIONS, pins)
    assert torch.equal(together, prior.sample_block(state, keys(), OPTIONS, pins))
    assert torch.equal(together[mask], pins.values[mask])
    order = [3, 1, 0]
    chosen = torch.tensor(order)
    some = Known(pins.values[chosen], mask[chosen])
    few = prior.sample_block(prior.select(state, chosen), keys(order), OPTIONS, some)
    torch.testing.assert_close(few, together[chosen], atol=1e-9, rtol=0)
    for row in range(ROWS):
        own = prior.commit(prior.begin(1), values[row : row + 1, : lengths[row] * BLOCK])
        pin = Known(pins.values[row : row + 1], mask[row : row + 1]) if given[row] else None
        alone = prior.sample_block(own, keys([row]), OPTIONS, pin)
        torch.testing.assert_close(alone[0], together[row], atol=1e-9, rtol=0)
    other = Known(pins.values + 1, mask)
    heard = prior.sample_block(state, keys(), OPTIONS, other)
    for row in (0, 3, 4):
        assert (heard[row, given[row] :] - together[row, given[row] :]).abs().max() > 1e-4
    assert prior.network_evaluations(OPTIONS) >= BLOCK


def test_tweedie_gives_the_posterior_mean_of_a_gaussian() -> None:
    noisy = latents()
    variance, deviation = 0.7, 0.4
    found = denoised(lambda x: normal(x / (variance + deviation**2) ** 0.5), noisy, deviation)
    expected = noisy * variance / (variance + deviation**2)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", EXACT)
@torch.no_grad()
def test_samples_are_denoised(name: str) -> None:
    prior, noise = exact_prior(name, DIM, BLOCK, noise=0.5).double(), latents()[:, :BLOCK]
    drawn = prior.sample_block(prior.begin(ROWS), Given(noise), OPTIONS)
    # Of N(0, 1) with noise of variance 1/4 in it, 3/4 is signal.
    torch.testing.assert_close(drawn, 0.75 * noise, atol=1e-9, rtol=0)


# Training.


@pytest.mark.parametrize("name", EXACT)
def test_losses_add_up_however_the_rows_are_split(name: str) -> None:
    options = {"noise": 0.2} | ({"pinned_blocks": 0.6} if name == "autoregressive_flow" else {})
    prior, values = random_weights(exact_prior(name, DIM, BLOCK, **options)), latents()
    mask = torch.arange(BLOCKS * BLOCK) < BLOCK * torch.tensor([3, 1, 2, 0, 3])[:, None]
    mask[0, 2] = False
    expected = prior.losses(LatentBatch(values, mask), Noise(4, 2, "x", 0, ROWS))["nll"]
    behind = torch.where(mask[..., None] | (torch.arange(12) == 2)[:, None], values, 50.0)
    changed = prior.losses(LatentBatch(behind, mask), Noise(4, 2, "x", 0, ROWS))["nll"]
    torch.testing.assert_close(changed.total, expected.total, atol=1e-9, rtol=0)
    parts = [
        prior.losses(LatentBatch(values[a:b], mask[a:b]), Noise(4, 2, "x", a, ROWS))["nll"]
        for a, b in ((0, 2), (2, ROWS))
    ]
    joined = sum(part.total for part in parts)
    torch.testing.assert_close(joined, expected.total, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("name", EXACT)
def test_the_loss_is_the_density_and_every_parameter_learns(name: str) -> None:
    options = {"pinned_blocks": 0.0} if name == "autoregressive_flow" else {}
    prior, values = random_weights(exact_prior(name, DIM, BLOCK, **options)), latents()
    loss = prior.losses(whole(values))["nll"]
    assert loss.per == "latents"
    expected = -prior.log_prob(whole(values)).sum() / DIM
    torch.testing.assert_close(loss.total, expected, atol=1e-9, rtol=0)
    loss.total.backward()
    for key, parameter in prior.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key
        assert parameter.grad.abs().max() > 0, key
    assert prior.training_flops(4, 12) > 2 * prior.training_flops(2, 12) * 0.99


def test_pinned_blocks_leave_the_loss_unbiased() -> None:
    values = latents(400)
    losses = [
        exact_prior("autoregressive_flow", DIM, BLOCK, pinned_blocks=share)
        .double()
        .losses(whole(values), Noise(0))["nll"]
        .total
        for share in (0.0, 1.0)
    ]
    assert losses[1].item() == pytest.approx(losses[0].item(), rel=0.03)
