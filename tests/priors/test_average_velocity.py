"""Shortcut and mean flow: spans, self-made targets, derivatives, grids."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from random_priors import BLOCK, DIM, ROWS, batch, latents, shaken
from toys import small_prior

from colaflex.interfaces.noise import Noise
from colaflex.interfaces.options import SamplingOptions

TWO = ("shortcut", "mean_flow")


@pytest.mark.parametrize("name", TWO)
def test_without_self_made_targets_it_is_flow_matching(name: str) -> None:
    options = {"self_taught": 0.0, **({"weight_power": 0.0} if name == "mean_flow" else {})}
    prior, values = small_prior(name, DIM, BLOCK, **options), latents(double=False)
    flow = small_prior("flow_matching", DIM, BLOCK)
    # Nothing is predicted yet, so both losses are E (eps - z0)^2.
    found, expected = (p.losses(batch(values), Noise(1))["flow"].total for p in (prior, flow))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", TWO)
def test_spans_stay_within_the_time_that_is_left(name: str) -> None:
    prior = small_prior(name, DIM, BLOCK)
    times, spans = prior.draw_spans(Noise(0), 2, prior.blocks(latents(400)))
    assert times.shape == (800, 3) and (spans >= 0).all()
    assert (spans <= times).all() and (times <= 1).all()
    if name == "shortcut":
        assert set(spans.unique().tolist()) == {2.0**-k for k in range(7)}
        assert torch.equal((times / spans).round(), times / spans)


@torch.no_grad()
def test_a_shortcut_is_worth_two_halves() -> None:
    prior, data = shaken("shortcut", pinned_blocks=1.0, target_limit=100.0), batch(latents())
    path = prior.draw_path(data, Noise(3), 1)
    assert path.masks.pinned.any()
    history = prior.history(data)
    predict = prior.denoiser.predictor(prior.denoiser.past(history), path.masks)
    half = path.times / 2
    target = prior.target(path, path.times, predict)
    # Both halves as the sampler takes them, block by block.
    for row in range(ROWS):
        for block in range(history.shape[1]):
            state = prior.begin(1)
            if path.masks.blind[row]:
                continue
            if block:
                state = prior.commit(state, data.values[row : row + 1, : block * BLOCK])
            pinned = path.masks.pinned[row : row + 1, block]
            field = prior.field(state, pinned=pinned)
            time, span = path.times[row, block], half[row, block]
            start = path.point()[row : row + 1, block]
            points = start
            for at in (time, time - span):
                points = points - span * field(torch.stack([at, span]), points)
            expected = (start - points) / time
            free = ~pinned
            torch.testing.assert_close(
                target[row : row + 1, block][free], expected[free], atol=1e-9, rtol=0
            )


def test_a_shortcut_takes_steps_of_learned_lengths() -> None:
    prior = small_prior("shortcut", DIM)
    assert prior.grid(1) == [1, 0]
    assert prior.grid(3) == [1, 0.5, 0.25, 0]
    assert prior.grid(6) == [1, 0.75, 0.5, 0.375, 0.25, 0.125, 0]
    for steps in (*range(1, 130), 200):
        grid = prior.grid(steps)
        lengths = [a - b for a, b in pairwise(grid)]
        assert len(lengths) == steps and grid[0] == 1 and grid[-1] == 0
        assert steps > 128 or all(length in {2.0**-k for k in range(8)} for length in lengths)


@pytest.mark.parametrize("parameters_learn", [True, False])
def test_the_derivative_is_that_of_finite_differences(parameters_learn: bool) -> None:
    options = {"pinned_blocks": 1.0, "history_dropout": 0.3, "time_scale": 0.02}
    exact = shaken("mean_flow", **options).requires_grad_(parameters_learn)
    near = shaken("mean_flow", derivative="finite_difference", difference_step=1e-5, **options)
    data, found = batch(latents()), []
    path = exact.draw_path(data, Noise(3), 1)
    assert path.masks.pinned.any() and path.masks.blind.any()
    for prior in (exact, near):
        with torch.no_grad():
            predict = prior.denoiser.predictor(prior.denoiser.past(prior.history(data)), path.masks)
            found.append(prior.derivative(path, path.times / 2, predict))
    # Central differences err by step² · u''' / 6, at derivatives of some 10 to 40.
    assert found[0].abs().max() > 1
    torch.testing.assert_close(*found, atol=1e-5, rtol=1e-6)


def test_the_adaptive_weight_is_the_slope_of_the_loss() -> None:
    draws = torch.Generator().manual_seed(0)
    error = torch.randn(5, 2, BLOCK, DIM, generator=draws, dtype=torch.float64).requires_grad_()
    counted = torch.rand(5, 2, BLOCK, generator=draws) < 0.6
    for power in (0.0, 0.5, 1.0, 1.5):
        prior = small_prior("mean_flow", DIM, BLOCK, weight_power=power, weight_offset=0.3)
        loss = torch.where(counted, prior.distance(error, counted), 0.0).sum()
        (slope,) = torch.autograd.grad(loss, error)
        mean = torch.where(counted[..., None], error.detach().square(), 0.0).sum((-1, -2))
        mean = mean / (DIM * counted.sum(-1).clamp(min=1))
        expected = 2 * error.detach() / DIM * ((mean + 0.3) ** -power)[..., None, None]
        torch.testing.assert_close(slope, torch.where(counted[..., None], expected, 0.0))


@pytest.mark.parametrize("name", TWO)
@torch.no_grad()
def test_a_constant_velocity_is_followed_in_any_number_of_steps(name: str) -> None:
    prior = small_prior(name, DIM, BLOCK)
    prior.head.bias.copy_(torch.tensor([1.0, -2.0, 0.5]))
    one, *others = (prior.sample(3, 2, SamplingOptions(steps)) for steps in (1, 2, 3, 7))
    for other in others:
        torch.testing.assert_close(other, one, atol=1e-5, rtol=0)
    assert prior.network_evaluations(SamplingOptions(3, 2.0)) == 6
