"""The hybrid prior: codes drawn jointly over a block, and a flow for what they leave."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from random_priors import BLOCK, ROWS, batch, keys, known, latents, prefix
from toys import chain, energy_distance, fit, gaussian, generator, mixture, sampled, small_prior

from colaflex.interfaces.noise import Noise
from colaflex.interfaces.options import SamplingOptions
from colaflex.interfaces.values import LatentBatch
from colaflex.priors.codebook import Codebook, CodeModel

DIM, CODES = 3, 6


def shaken() -> Any:
    prior = small_prior("hybrid", DIM, BLOCK, codes=CODES, code_layers=1)
    draws = generator(1)
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter += 0.15 * torch.randn(parameter.shape, generator=draws)
    return prior.double()


def seeded(make: Callable[[], Any]) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make()


# The codebook.


def test_codes_are_those_of_the_nearest_entries() -> None:
    book, points = seeded(lambda: Codebook(CODES, DIM).double()), latents()
    apart = torch.cdist(points, book.vectors)
    assert torch.equal(book.nearest(points), apart.argmin(-1))
    ranked = apart.square().sort(-1).values
    faded = sum(0.1**rank * ranked[..., rank] for rank in range(CODES))
    torch.testing.assert_close(book.distortion(points), faded / DIM)


def test_entries_that_lie_far_from_all_data_come_along() -> None:
    book = seeded(lambda: Codebook(8, 2))
    with torch.no_grad():
        book.places[1:] += torch.tensor([0.4, 0.0])  # 3.2 away: most are nearest to nothing
    optimizer = torch.optim.Adam(book.parameters(), lr=0.02)
    for step in range(300):
        optimizer.param_groups[0]["lr"] = 0.02 * (1 - step / 300)
        optimizer.zero_grad()
        book.distortion(mixture(128, generator(step))).mean().backward()
        optimizer.step()
    counts = torch.bincount(book.nearest(mixture(4000, generator(0))).flatten(), minlength=8)
    assert (counts > 100).all(), counts


def test_the_surprise_of_learned_frequencies_is_their_entropy() -> None:
    book, codes = Codebook(3, 2), torch.tensor([0, 0, 1, 2])
    with torch.no_grad():
        book.usage.copy_(torch.tensor([0.5, 0.25, 0.25]).log() + 3)
    assert float(book.surprise(codes).detach().mean()) == pytest.approx(1.5 * math.log(2), abs=1e-6)


# The codes of a block.


def test_codes_are_drawn_from_the_joint_law_that_is_learned() -> None:
    model, rows = seeded(lambda: CodeModel(3, 16, 1)), 20_000
    with torch.no_grad():
        model.head.weight.normal_(generator=generator(3))
        model.head.weight *= 0.5
    states = torch.randn(1, 1, 2, 16, generator=generator(4))
    pairs = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    with torch.no_grad():
        expected = model.log_probs(states[0].expand(9, -1, -1), pairs).sum(1).exp()
    assert float(expected.sum()) == pytest.approx(1, abs=1e-5)
    given = torch.zeros(rows, 2, dtype=torch.int64)
    uniform = torch.rand(rows, 2, generator=generator(5))
    drawn = model.sample(
        states.expand(-1, rows, -1, -1), uniform, given, given > 0, torch.ones(rows, 1)
    )
    found = torch.bincount(3 * drawn[:, 0] + drawn[:, 1], minlength=9) / rows
    # Four deviations of a frequency near 1/2 in so many draws.
    torch.testing.assert_close(found, expected, atol=0.015, rtol=0)
    # Neighbours depend on each other, or else this would show nothing of a joint law.
    table = expected.view(3, 3)
    assert (table - table.sum(1, True) * table.sum(0, True)).abs().max() > 0.03


def test_guidance_weighs_log_probabilities() -> None:
    model, rows = seeded(lambda: CodeModel(2, 16, 1)), 20_000
    with torch.no_grad():
        model.head.weight.normal_(generator=generator(3))
    states = torch.randn(2, 1, 1, 16, generator=generator(4))
    with torch.no_grad():
        code = torch.zeros(1, 1, dtype=torch.int64)
        logits = [model.log_probs(each, code) - model.log_probs(each, code + 1) for each in states]
        expected = torch.sigmoid(1.5 * logits[0] - 0.5 * logits[1])
    none = torch.zeros(rows, 1, dtype=torch.int64)
    uniform = torch.rand(rows, 1, generator=generator(5))
    drawn = model.sample(
        states.expand(-1, rows, -1, -1), uniform, none, none > 0, torch.full((rows, 1), 1.5)
    )
    assert float((drawn == 0).float().mean()) == pytest.approx(float(expected), abs=0.015)


# The prior.


@torch.no_grad()
def test_codes_of_known_latents_are_heard_and_drawn_codes_reach_the_sample() -> None:
    prior, values = shaken(), latents(seed=3)
    state = prefix(prior, latents(), [1] * ROWS)
    pins = known(values, [0, 1, 2, 3, 4])
    codes = prior._sample_codes(state, keys(), 1.0, pins)
    nearest = prior.codebook.nearest(values[:, :BLOCK])
    assert torch.equal(codes[pins.mask], nearest[pins.mask])
    options = SamplingOptions(steps=2)
    found = prior.sample_block(state, keys(), options, pins)
    assert torch.equal(found[pins.mask], values[:, :BLOCK][pins.mask])
    prior.head.weight.zero_(), prior.head.bias.zero_()
    # With a field that stands still, noise is left where it was: what is added is the codes'.
    still = prior.sample_block(state, keys(), options)
    drawn = prior._sample_codes(state, keys(), 1.0, None)
    noise = keys().normal("flow", (BLOCK, DIM), still)
    torch.testing.assert_close(still - noise, prior.codebook(drawn), atol=1e-12, rtol=0)


def test_codes_may_be_given() -> None:
    prior, whole = shaken(), batch(latents())
    own = prior.codebook.nearest(whole.values)
    plain, same, other = (
        prior.losses(each, Noise(1))
        for each in (whole, replace(whole, code=own), replace(whole, code=(own + 1) % CODES))
    )
    for name, term in plain.items():
        torch.testing.assert_close(same[name].total, term.total, atol=1e-12, rtol=0)
    assert not torch.allclose(other["code"].total, plain["code"].total)
    assert not torch.allclose(other["flow"].total, plain["flow"].total)


def test_losses_do_not_move_each_others_parts() -> None:
    prior = shaken()
    values = latents().requires_grad_()
    terms = prior.losses(batch(values), Noise(0))
    for name, reaches in (("codebook", True), ("flow", False), ("code", False)):
        prior.zero_grad()
        terms[name].total.backward(retain_graph=True)
        gradient = prior.codebook.places.grad
        assert (gradient is not None and bool(gradient.any())) == reaches, name
    values.grad = None
    terms["codebook"].total.backward()
    assert values.grad is None  # entries come to the latents, not the latents to entries


@pytest.fixture(scope="module")
def mixture_hybrid() -> Any:
    prior = small_prior("hybrid", 2, codes=16, code_layers=1, schedule={"loc": 0.0})
    return fit(prior, mixture, steps=160)


def test_a_mixture_is_recovered_in_few_steps(mixture_hybrid: Any) -> None:
    truth = mixture(4000, generator(1)).flatten(1)
    for steps, bound in ((1, 0.04), (2, 0.04), (16, 0.02)):
        drawn = sampled(mixture_hybrid, 4000, steps=steps).flatten(1)
        # One Euler step of plain flow matching is 0.08 away (test_known_distributions).
        assert energy_distance(drawn, truth) < bound, steps


def test_the_entropy_of_the_codes_is_reported(mixture_hybrid: Any) -> None:
    values = mixture(4000, generator(1))
    codes = mixture_hybrid.codebook.nearest(values).flatten()
    share = torch.bincount(codes, minlength=16) / len(codes)
    entropy = -float((share * share.clamp(min=1e-9).log()).sum())
    whole = LatentBatch(values, torch.ones(values.shape[:2], dtype=torch.bool))
    found = float(mixture_hybrid.losses(whole, Noise(0))["code_entropy"].total.detach()) / 4000
    assert entropy > 0.7 * math.log(16)  # few codes lie idle
    # A cross-entropy: never below, but for the frequencies' own sampling, and near it once learned.
    assert -1e-3 < found - entropy < 0.15


@pytest.mark.slow
def test_a_correlated_gaussian_is_recovered() -> None:
    prior = small_prior("hybrid", 4, 2, codes=16, code_layers=1, schedule={"loc": 0.0})
    fit(prior, gaussian, steps=160, rows=128)
    truth = gaussian(4000, generator(1)).flatten(1)
    for steps, bound in ((1, 0.05), (16, 0.02)):
        drawn = sampled(prior, 4000, steps=steps).flatten(1)
        # Without its correlations it would be 0.1 away.
        assert energy_distance(drawn, truth) < bound, steps


@pytest.mark.slow
def test_a_block_is_drawn_given_the_one_before() -> None:
    small = {"width": 32, "layers": 1, "time_width": 32}
    options = {"schedule": {"loc": 0.0}, "history_dropout": 0, "network": small}
    prior = small_prior("hybrid", 1, codes=8, code_layers=1, **options)
    fit(prior, chain, steps=250, rows=64, rate=1e-2)
    truth = chain(2000, generator(8))
    drawn = sampled(prior, 2000, blocks=2, steps=8)
    assert energy_distance(drawn.flatten(1), truth.flatten(1)) < 0.015
    first, second = drawn.flatten(1).unbind(1)
    assert float(first @ second / first.square().sum()) == pytest.approx(0.9, abs=0.2)
    # Of the second code's 2 nats, the first latent tells log(sqrt(0.9) / 0.3) = 1.15 at most.
    mask = torch.tensor([False, True]).expand(len(truth), -1)
    with torch.no_grad():
        terms = prior.losses(LatentBatch(truth, mask), Noise(0, 2))
    told = terms["code_entropy"].total - terms["code"].total
    assert 0.6 < float(told) / len(truth) < 1.25
