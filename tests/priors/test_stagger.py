"""Times of positions: the clock's law and its limits, in training and in sampling."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from random_priors import BLOCK, BLOCKS, DIM, ROWS, batch, keys, known, latents, prefix, shaken
from torch import Tensor
from toys import fit, generator, sampled, small_prior

import colaflex
from colaflex.host.registry import registry
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.options import SamplingOptions
from colaflex.interfaces.values import LatentBatch, Vocabulary
from colaflex.priors.path import Masks
from colaflex.priors.position_sampling import clock_times, descended_apart
from colaflex.priors.stagger import densities

NOTHING = torch.zeros(1, BLOCK, dtype=torch.bool)


def even(share: float) -> float:
    return 1.0 - share


def test_the_clock_goes_from_all_together_to_one_by_one() -> None:
    together = torch.stack(clock_times(even, 4, 0.0, NOTHING))[:, 0, :, 0]
    assert torch.equal(together, torch.linspace(1, 0, 5).double()[:, None].expand(-1, BLOCK))
    alone = torch.stack(clock_times(even, 2 * BLOCK, 1.0, NOTHING))[:, 0, :, 0]
    for step in range(2 * BLOCK + 1):
        expected = [min(max(1 - step / 2 + place, 0.0), 1.0) for place in range(BLOCK)]
        assert alone[step].tolist() == expected
    half = torch.stack(clock_times(even, 5, 0.5, NOTHING))[:, 0, :, 0]
    assert half[2].tolist() == [0.0, 0.5, 1.0, 1.0]
    assert half[3].tolist() == [0.0, 0.0, 0.5, 1.0]
    assert half[-1].tolist() == [0.0] * BLOCK


def test_what_is_known_is_not_waited_for() -> None:
    pinned = torch.tensor([[True, True, False, False], [False] * 4])
    times = torch.stack(clock_times(even, 4, 1.0, pinned))[..., 0]
    assert (times[:, 0, :2] == 0).all()
    assert times[:, 0, 2].tolist() == [1.0, 0.5, 0.0, 0.0, 0.0]
    assert times[:, 0, 3].tolist() == [1.0, 1.0, 1.0, 0.5, 0.0]
    assert torch.equal(times[:, 1], torch.stack(clock_times(even, 4, 1.0, NOTHING))[:, 0, :, 0])


@pytest.mark.parametrize("schedule", [{"loc": 0.5}, "uniform", {"type": "tangent", "shift": 5.0}])
@pytest.mark.parametrize("lead", [0.3, 1.0])
def test_weights_give_every_position_the_schedules_law(schedule: Any, lead: float) -> None:
    prior = shaken(schedule=schedule, stagger={"lead": lead}, pinned_blocks=0.0)
    values = torch.zeros(10_000, BLOCK, DIM).double()
    path = prior.draw_path(batch(values), Noise(0), 2)
    assert path.weights is not None
    shares = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    edges = prior.schedule.quantile(shares)
    for place in range(BLOCK):
        times, weights = path.times[:, 0, place], path.weights[:, 0, place]
        assert weights.mean() == pytest.approx(1.0, abs=0.05)
        below = (times[:, None] < edges).double() * weights[:, None] / weights.sum()
        torch.testing.assert_close(below.sum(0), shares, atol=0.03, rtol=0)


def test_free_positions_share_a_clock_and_the_blocks_weight() -> None:
    lead, values = 0.3, torch.zeros(200, BLOCK, DIM).double()
    prior = shaken(stagger={"lead": lead}, pinned_blocks=1.0)
    path = prior.draw_path(batch(values), Noise(0), 2)
    assert path.weights is not None
    free = ~path.masks.pinned
    assert not free.all() and free.any(-1).all()
    assert (path.times[~free] == 0).all()
    total = torch.where(free, path.weights, 0.0).sum(-1)
    torch.testing.assert_close(total, free.sum(-1).double(), atol=1e-6, rtol=1e-6)
    moving = (path.times > 0) & (path.times < 1) & free
    both = moving[..., 1:] & moving[..., :-1]
    apart = (path.times[..., 1:] - path.times[..., :-1])[both]
    torch.testing.assert_close(apart, torch.full_like(apart, lead))


def test_a_schedules_density_is_found() -> None:
    times = torch.tensor([0.0, 0.2, 0.5, 0.8, 1.0], dtype=torch.float64)
    normal = shaken(schedule={"loc": 0.5, "scale": 0.8}).schedule
    logit = torch.logit(times[1:-1])
    law = torch.distributions.Normal(0.5, 0.8).log_prob(logit).exp()
    expected = law / (times[1:-1] * (1 - times[1:-1]))
    found = densities(normal, times)
    torch.testing.assert_close(found[1:-1], expected, atol=0, rtol=0.01)
    assert found[0] == found[-1] == 0
    even = densities(shaken(schedule="uniform").schedule, times)
    torch.testing.assert_close(even[1:-1], torch.ones(3).double(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("prediction", ["velocity", "x0"])
@torch.no_grad()
def test_training_sees_what_sampling_sees(prediction: str) -> None:
    options = {"pinned_blocks": 0.6, "history_dropout": 0.0, "prediction": prediction}
    prior, values = shaken(stagger={"lead": 0.4}, **options), latents()
    path = prior.draw_path(batch(values), Noise(0), 1)
    assert path.masks.pinned.any()
    points = path.point()
    predict = prior.denoiser.predictor(prior.denoiser.past(prior.blocks(values)), path.masks)
    together = prior.denoiser.clean(predict(points, path.times[..., None]), points, path.times)
    for block in range(BLOCKS):
        state = prior.begin(ROWS)
        if block:
            state = prior.commit(state, values[:, : block * BLOCK])
        pinned = path.masks.pinned[:, block]
        times = path.times[:, block, :, None]
        velocity = prior.field(state, pinned=pinned)(times, points[:, block])
        clean = points[:, block] - times * velocity
        moves = (times > 0.01) & ~pinned[..., None]
        expected = torch.where(moves, together[:, block], clean)
        torch.testing.assert_close(clean, expected, atol=1e-9, rtol=0)
        assert moves.any()


@torch.no_grad()
def test_times_of_positions_that_agree_are_the_blocks() -> None:
    prior, noisy = shaken(), torch.randn(2 * ROWS, BLOCKS, BLOCK, 64, generator=generator(4))
    history = prior.denoiser.past(prior.blocks(latents()))
    times = torch.rand(2 * ROWS, BLOCKS, 1, generator=generator(5)).double()
    one = prior.network.parallel(noisy.double(), times, history)
    each = times[:, :, None].expand(-1, -1, BLOCK, -1)
    torch.testing.assert_close(prior.network.parallel(noisy.double(), each, history), one)
    other = each.clone()
    other[:, :, 0] *= 0.5
    changed = prior.network.parallel(noisy.double(), other, history)
    assert not torch.allclose(changed[:, :, 1], one[:, :, 1])


OPTIONS = {
    "plain": SamplingOptions(6),
    "guided late": SamplingOptions(6, 2.0, guidance_interval=(0.0, 0.5)),
    "guided more and more": SamplingOptions(6, 2.0, guidance_law="data_end", grid="power(0.5)"),
    "fresh noise": SamplingOptions(6, renoise=0.7, grid="law"),
    "ddpm": SamplingOptions(6, renoise="ddpm", noise_temperature=0.8),
    "prefix": SamplingOptions(6, grid="prefix(0.8)"),
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=list(OPTIONS))
@torch.no_grad()
def test_samplers_options_work_and_rows_stand_alone(options: SamplingOptions) -> None:
    prior, values = shaken(stagger={"lead": 0.5}), latents()
    lengths, given = [2, 0, 3, 1, 2], [1, 0, 0, 3, 2]
    pins = known(latents(seed=3), given)
    calls = []
    hook = prior.network.register_forward_hook(lambda *_: calls.append(1))
    together = prior.sample_block(prefix(prior, values, lengths), keys(), options, pins)
    hook.remove()
    assert torch.equal(together[pins.mask], pins.values[pins.mask])
    for row in range(ROWS):
        state = prior.commit(prior.begin(1), values[row : row + 1, : lengths[row] * BLOCK])
        pin = known(latents(seed=3)[row : row + 1], given[row : row + 1])
        alone = prior.sample_block(state, keys([row]), options, pin)
        torch.testing.assert_close(alone[0], together[row], atol=1e-9, rtol=0)
    calls.clear()
    hook = prior.network.register_forward_hook(lambda *_: calls.append(1))
    prior.sample_block(prefix(prior, values, [1] * ROWS), keys(), options)
    hook.remove()
    assert len(calls) == prior.network_evaluations(options)


@torch.no_grad()
def test_without_a_lead_the_steps_are_those_of_one_time() -> None:
    """Positions that go together take the very steps of a block at one time."""
    prior = shaken()
    options = SamplingOptions(5, renoise=0.6, grid="power(0.7)")
    one = prior.sample_block(prior.begin(ROWS), keys(), options)
    prior.position_times = lambda options, known: clock_times(
        lambda share: 1 - share**0.7, options.steps, 0.0, NOTHING
    )
    each = prior.sample_block(prior.begin(ROWS), keys(), options)
    torch.testing.assert_close(each, one, atol=1e-7, rtol=0)


COVARIANCE = (0.95 ** (torch.arange(4) - torch.arange(4)[:, None]).abs()).double()


def exact(step: int, time: Tensor, points: Tensor) -> Tensor:
    """E[z0 | z_t] of Gaussian data, each position at its own time."""
    signal, noise = torch.diag(1 - time[0, :, 0]), torch.diag(time[0, :, 0].square())
    gain = COVARIANCE @ signal @ torch.linalg.pinv(signal @ COVARIANCE @ signal + noise)
    return points @ gain.T if points.ndim == 2 else (points[..., 0] @ gain.T)[..., None]


class Basis:
    """Noise of which each row has one position's: samples are then the sampler's linear map."""

    def __call__(self, step: int) -> Tensor:
        return torch.eye(4, dtype=torch.float64)[..., None]

    def pin(self, points: Tensor) -> Tensor:
        return points


def linear_map(steps: int, lead: float) -> Tensor:
    times = clock_times(even, steps, lead, NOTHING)
    return descended_apart(exact, Basis(), times, 0.0)[..., 0]  # type: ignore[arg-type]


@pytest.mark.parametrize("steps", [1, 3])
def test_a_lead_of_one_is_sampling_one_by_one(steps: int) -> None:
    """By the exact law of each number given those before it, in so many steps each."""
    found = linear_map(4 * steps, 1.0)
    noise, expected = torch.eye(4, dtype=torch.float64), torch.zeros(4, 4).double()
    for place in range(4):
        before, own = COVARIANCE[:place, :place], COVARIANCE[place, :place]
        weights = torch.linalg.solve(before, own) if place else own
        mean = expected[:, :place] @ weights
        variance = COVARIANCE[place, place] - own @ weights
        point = noise[:, place]
        for step in range(steps):
            t, s = 1 - step / steps, 1 - (step + 1) / steps
            slope = variance * (1 - t) / ((1 - t) ** 2 * variance + t**2)
            clean = mean + slope * (point - (1 - t) * mean)
            point = (s / t) * point + (1 - s / t) * clean
        expected[:, place] = point
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=0)


@pytest.mark.parametrize("lead", [0.0, 0.25, 1.0])
def test_with_more_steps_the_covariance_is_the_datas(lead: float) -> None:
    errors = []
    for steps in (64, 128, 256):
        mapped = linear_map(steps, lead)
        errors.append(float(torch.linalg.norm(mapped.T @ mapped - COVARIANCE)))
    for coarse, fine in pairwise(errors):
        assert fine < 0.6 * coarse  # Euler's steps are of first order
    assert errors[-1] < 0.2


def correlated(rows: int, draws: torch.Generator) -> Tensor:
    root = torch.linalg.cholesky(COVARIANCE).float()
    return (torch.randn(rows, 4, generator=draws) @ root.T)[..., None]


@pytest.mark.parametrize(
    "stagger", [{"lead": 0.5}, {"lead": 0.5, "times": "independent"}], ids=["clock", "independent"]
)
def test_a_fitted_prior_samples_as_the_exact_one(stagger: Any) -> None:
    options = {"schedule": {"loc": 0.0}, "prediction": "x0", "history_dropout": 0.0}
    prior = small_prior("flow_matching", 1, 4, stagger=stagger, **options)
    fit(prior, correlated, steps=160, rows=128)
    drawn = sampled(prior, 2000, steps=20).flatten(1).double()
    # Held against the exact denoiser's samples by as many steps, and against independent ones.
    mapped = linear_map(20, 0.5)
    expected = mapped.T @ mapped
    error = torch.linalg.norm(drawn.T.cov() - expected) / torch.linalg.norm(expected)
    independent = expected - expected.diag().diag()
    assert error < 0.25 < 0.5 < torch.linalg.norm(independent) / torch.linalg.norm(expected)


def test_levels_are_each_positions_own() -> None:
    prior = shaken(stagger={"lead": 0.5})
    values = batch(latents())
    level = prior.loss_by_noise(values, [0.0], Noise(2))[0]
    path = prior.draw_path(values, Noise(2), 1)
    path = replace(path, masks=Masks.free(path.masks.counted))
    times = torch.tensor([0.0, 0.0, 0.5, 1.0]).double().expand(ROWS, BLOCKS, BLOCK)
    points = path.point(times)
    predict = prior.denoiser.predictor(prior.denoiser.past(prior.history(values)), path.masks)
    clean = prior.denoiser.clean(predict(points, times[..., None]), points, times)
    expected = (clean - path.data).square().mean(-1)[..., 2]
    torch.testing.assert_close(prior.blocks(level.error)[..., 2], expected)


def test_off_nothing_changes_and_on_it_is_counted() -> None:
    off, on = shaken(), shaken(stagger={"lead": 0.5})
    assert set(off.state_dict()) == set(on.state_dict())
    assert off.draw_path(batch(latents()), Noise(0), 1).weights is None
    segments = BLOCKS * BLOCK
    more = on.training_flops(ROWS, segments) - off.training_flops(ROWS, segments)
    once, each = (off.network.flops(ROWS, BLOCKS, BLOCK, 1, times) for times in (BLOCKS, segments))
    assert more == 3 * (each - once) > 0


REFUSED = {
    "rectified_flow": {"stagger": {"lead": 0.5}},
    "cnf": {"stagger": {"times": "independent"}},
    "flow_matching": {"stagger": {"lead": 0.5}, "solver": "heun"},
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_go_together_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="stagger"):
        colaflex.build("prior", kind, latent_dim=4, block_size=2, **REFUSED[kind])


def test_ahead_there_is_no_likelihood_by_the_ode() -> None:
    ways = ({}, {"lead": 0.5}, {"times": "independent"})
    found = [registry().config("prior", {"type": "flow_matching", "stagger": way}) for way in ways]
    assert [each.capabilities().likelihood for each in found] == ["ode", "none", "ode"]


def test_losses_are_the_weighted_objectives() -> None:
    prior, values = shaken(stagger={"lead": 0.5}, pinned_blocks=0.0), latents()
    whole = LatentBatch(values, torch.ones(values.shape[:2], dtype=torch.bool))
    path = prior.draw_path(whole, Noise(0), 1)
    predict = prior.denoiser.predictor(prior.denoiser.past(prior.history(whole)), path.masks)
    error = (predict(path.point(), path.times[..., None]) - path.velocity()).square().mean(-1)
    found = prior.losses(whole, Noise(0))["flow"].total
    torch.testing.assert_close(found, (error * path.weights).sum())
    total = found.detach()
    found.backward()
    assert prior.head.weight.grad.isfinite().all() and total > 0


@torch.no_grad()
def test_texts_are_drawn_position_by_position_and_their_bound_is_that_samplers() -> None:
    """At a lead of one, in as many steps as positions, every position's draw is its end."""
    sizes = {"vocabulary": Vocabulary(20, 0, 1), "max_segment_tokens": 2}
    text = colaflex.build("representation", "text_vae", latent_dim=DIM, width=32, heads=2, **sizes)
    prior = small_prior("flow_matching", DIM, BLOCK, stagger={"lead": 1.0}, readout="categorical")
    head = text.readout("categorical", width=prior.state_width)
    prior.take(head, None)
    options = SamplingOptions(BLOCK, estimate="draw", end="draw")
    block = prior.sample_block(prior.begin(ROWS), keys(), options)
    times = prior.position_times(options, None)
    for place in range(BLOCK):
        noise = keys().normal("flow", (BLOCK, DIM), block)
        points = torch.where(torch.arange(BLOCK)[:, None] < place, block, noise)
        states = prior.network(
            prior.lift(points, torch.ones(ROWS, dtype=torch.bool)), times[place].float(), None
        )
        drawn = head.drawn(head.said(states), keys(), f"flow content {place}")
        torch.testing.assert_close(block[:, place], drawn[:, place], atol=1e-5, rtol=0)
    # The bound asks about each position at noise, behind clean ones.
    content = torch.randint(2, 20, (ROWS, BLOCK, 2), generator=generator(0))
    values = LatentBatch(block, torch.ones(ROWS, BLOCK, dtype=torch.bool), content=content)
    noise = torch.randn(block.shape, generator=generator(1))
    nats = prior.content_nats(values, noise)
    for place in range(BLOCK):
        points = torch.where(torch.arange(BLOCK)[:, None] < place, block, noise)
        states = prior.network(
            prior.lift(points, torch.ones(ROWS, dtype=torch.bool)), times[place].float(), None
        )
        expected = head.content_nats(head.said(states), content)[:, place]
        torch.testing.assert_close(nats[:, place], expected, atol=1e-4, rtol=1e-4)
