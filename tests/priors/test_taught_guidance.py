"""Guidance in the targets of mean flow and shortcut: what sampling with guidance would follow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from random_priors import BLOCK, DIM, batch, latents, shaken
from torch import Tensor
from toys import small_prior

from colaflex.interfaces.noise import Noise
from colaflex.spec import Spec, SpecError

TWO = ("mean_flow", "shortcut")
GUIDANCE = 2.5


def drawn(prior: Any) -> tuple[Any, Any]:
    """A path with pinned positions and blind rows, and the prediction given the history."""
    data = batch(latents())
    path = prior.draw_path(data, Noise(3), 1)
    blind = torch.tensor([True, False, False, False, False])
    path = replace(path, masks=replace(path.masks, blind=blind))
    assert path.masks.pinned.any()
    return path, prior.denoiser.predictor(prior.denoiser.past(prior.history(data)), path.masks)


def by_the_sampler(prior: Any, row: int, path: Any, points: Tensor, times: Tensor) -> Tensor:
    """(blocks, block, dim): the guided prediction as `field` has it, block by block."""
    found = []
    for block in range(points.shape[1]):
        state = prior.begin(1)
        if block:
            state = prior.commit(state, path.data[row : row + 1, :block].flatten(1, 2))
        field = prior.field(state, GUIDANCE, path.masks.pinned[row : row + 1, block])
        found.append(field(times[row, block], points[row : row + 1, block])[0])
    return torch.stack(found)


@pytest.mark.parametrize("name", TWO)
@torch.no_grad()
def test_guided_predictions_are_those_of_the_sampler(name: str) -> None:
    prior = shaken(name, taught_guidance=GUIDANCE, pinned_blocks=1.0)
    path, predict = drawn(prior)
    points, times = path.point(), torch.stack([path.times, path.times / 2], -1)
    conditional = predict(points, times)
    found = prior.guided(conditional, path, points, times)
    assert torch.equal(found[0], conditional[0])  # a blind row
    assert torch.equal(found[:, 0], conditional[:, 0])  # what opens a document
    assert not torch.allclose(found[1:, 1:], conditional[1:, 1:])
    expected = by_the_sampler(prior, 2, path, points, times)
    free = ~path.masks.pinned[2]
    torch.testing.assert_close(found[2][free], expected[free], atol=1e-9, rtol=0)


@torch.no_grad()
def test_mean_flow_learns_the_guided_velocity() -> None:
    """g (eps - z0) + (1 - g) u(z, t, 0; no history) in the places of the velocity."""
    prior = shaken("mean_flow", taught_guidance=GUIDANCE, pinned_blocks=1.0)
    path, predict = drawn(prior)
    times = torch.stack([path.times, torch.zeros_like(path.times)], -1)
    free = prior.denoiser.alone(path.point(), times, path.masks.pinned)
    expected = GUIDANCE * path.velocity() + (1 - GUIDANCE) * free
    found = prior.velocity(path)
    torch.testing.assert_close(found[1:, 1:], expected[1:, 1:])
    torch.testing.assert_close(found[0], path.velocity()[0])
    spans = path.times / 2
    derivative = prior.derivative(path, spans, predict)
    target = prior.target(path, spans, predict)
    torch.testing.assert_close(target, found - spans[..., None, None] * derivative)


@torch.no_grad()
def test_shortcuts_of_the_shortest_steps_are_guided_and_longer_ones_learn_it() -> None:
    options = {"halvings": 2, "target_limit": 100.0, "pinned_blocks": 1.0}
    guided = shaken("shortcut", taught_guidance=GUIDANCE, **options)
    plain = shaken("shortcut", **options)
    path, predict = drawn(guided)
    path = replace(path, times=torch.full_like(path.times, 0.5))
    long, short = torch.full_like(path.times, 1.0), torch.full_like(path.times, 0.5)
    torch.testing.assert_close(
        guided.target(replace(path, times=long), long, predict),
        plain.target(replace(path, times=long), long, predict),
    )
    found, other = (prior.target(path, short, predict) for prior in (guided, plain))
    torch.testing.assert_close(found[:, 0], other[:, 0])
    assert not torch.allclose(found[1:, 1:], other[1:, 1:])


@pytest.mark.parametrize("name", TWO)
def test_it_is_off_unless_set_and_sampling_is_refused_more(name: str) -> None:
    plain, other = small_prior(name, DIM, BLOCK), small_prior(name, DIM, BLOCK, taught_guidance=2.0)
    assert plain.config.capabilities().guidance and not other.config.capabilities().guidance
    assert other.training_flops(2, 8) > plain.training_flops(2, 8)
    spec = Spec.load("specs/worlds.yaml").override({"prior": name})
    with pytest.raises(SpecError, match="can't be guided; set it to 1"):
        spec.override({"prior.taught_guidance": 2.0, "sampling.guidance": 3.0})
    with pytest.raises(Exception, match="history_dropout above 0"):
        small_prior(name, DIM, BLOCK, taught_guidance=2.0, history_dropout=0.0)


@pytest.mark.parametrize("name", TWO)
def test_the_option_leaves_digests_alone(name: str) -> None:
    spec = Spec.load("specs/worlds.yaml").override({"prior": name})
    assert spec.override({"prior.taught_guidance": 1.0}).digest() == spec.digest()
