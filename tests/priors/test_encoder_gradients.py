"""What of a prior's loss reaches the latents, and so the encoder: see docs/mathematics.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from random_priors import BLOCK, DIM, batch, latents, shaken, total
from torch import Tensor

import colaflex
from colaflex.host.registry import registry
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.values import LatentBatch

STEP = 1e-5
NETWORK = {"type": "block_causal", "width": 16, "layers": 1, "heads": 2, "time_width": 8}
CAUSAL = {"width": 16, "layers": 1, "heads": 2}
PRIORS: dict[str, tuple[str, dict[str, Any]]] = {
    "flow_matching": ("flow_matching", {"network": NETWORK}),
    "x0": ("flow_matching", {"network": NETWORK, "prediction": "x0"}),
    "optimal transport": ("flow_matching", {"network": NETWORK, "coupling": "minibatch_ot"}),
    "hybrid": ("hybrid", {"network": NETWORK, "codes": 5, "code_layers": 1}),
    "cnf": ("cnf", {"network": NETWORK, "training_steps": 1}),
    "gaussian": ("gaussian", {"context": 2}),
    "mixture": ("autoregressive_latent", {"transformer": CAUSAL}),
    "diffusion": ("autoregressive_latent", {"transformer": CAUSAL, "head": "diffusion"}),
    "energy": ("autoregressive_latent", {"transformer": CAUSAL, "head": "energy"}),
    "normalizing_flow": ("normalizing_flow", {**CAUSAL, "hidden_width": 8, "transforms": 1}),
    "autoregressive_flow": ("autoregressive_flow", {**CAUSAL, "flow_layers": 1, "flows": 2}),
    # With no target of their own making, all of their loss is a function of the latents.
    "shortcut": ("shortcut", {"network": NETWORK, "self_taught": 0.0}),
    "mean_flow": ("mean_flow", {"network": NETWORK, "self_taught": 0.0}),
}
NOISE = Noise(3, 1)


def prior_of(name: str) -> Any:
    """Random weights everywhere: a zero-initialised head would hide a missing path."""
    kind, options = PRIORS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = colaflex.build("prior", kind, latent_dim=DIM, block_size=BLOCK, **options).double()
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.add_(0.2 * torch.randn_like(parameter))
    return made


def slopes(loss: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    """The gradient as autograd finds it."""
    at = values.clone().requires_grad_()
    value = loss(at)
    if not value.requires_grad:
        return torch.zeros_like(values)
    (found,) = torch.autograd.grad(value, at, allow_unused=True)
    return torch.zeros_like(values) if found is None else found


def differences(loss: Callable[[Tensor], Tensor], values: Tensor, place: int) -> Tensor:
    """(rows, dim): central differences of the loss by the latents at one place."""
    found = torch.zeros_like(values[:, place])
    for row in range(len(found)):
        for channel in range(found.shape[1]):
            shift = torch.zeros_like(values)
            shift[row, place, channel] = STEP
            with torch.no_grad():
                change = loss(values + shift) - loss(values - shift)
            found[row, channel] = change / (2 * STEP)
    return found


def test_every_prior_is_looked_at() -> None:
    known = {kind for kind, _ in PRIORS.values()} | {"rectified_flow", "consistency"}
    found = (entry.qualified.split(":") for entry in registry().entries("prior"))
    own = {name for distribution, name in found if distribution == "colaflex"}
    assert own <= known


@pytest.mark.parametrize("name", PRIORS)
def test_the_gradient_is_that_of_the_loss_but_for_history(name: str) -> None:
    prior, values = prior_of(name), latents(rows=2, blocks=2)
    if name == "gaussian":
        total(prior.losses(batch(latents(rows=30, blocks=2)), NOISE)).backward()
    for place in (0, BLOCK + 1, BLOCK + 2):  # one latent learns; those before it are history
        mask = torch.zeros(values.shape[:2], dtype=torch.bool)
        mask[:, place] = True

        def loss(shown: Tensor, mask: Tensor = mask) -> Tensor:
            terms = prior.losses(LatentBatch(shown, mask), NOISE)
            # The codebook's term is of its entries alone.
            return total({key: term for key, term in terms.items() if key != "codebook"})

        found = slopes(loss, values)
        assert not found[:, :place].any()
        assert found[:, place].abs().max() > 0.01
        torch.testing.assert_close(
            found[:, place], differences(loss, values, place), atol=1e-6, rtol=1e-5
        )


PINNING = ("flow_matching", "x0", "hybrid", "cnf", "shortcut", "mean_flow", "autoregressive_flow")


@pytest.mark.parametrize("name", PINNING)
def test_positions_pinned_in_training_are_history(name: str) -> None:
    PRIORS["pinned"] = (PRIORS[name][0], {**PRIORS[name][1], "pinned_blocks": 1.0})
    prior, values = prior_of("pinned"), latents(rows=6, blocks=1)
    del PRIORS["pinned"]
    found = slopes(lambda shown: total(prior.losses(batch(shown), NOISE)), values)
    reached = found.abs().sum(-1) > 0
    pinned = ~reached
    # Prefixes of 0 to 3 positions are pinned, of some rows at least one; all others are reached.
    assert pinned.any() and reached.any()
    assert torch.equal(pinned, pinned.long().cummin(1).values.bool())
    assert reached[:, -1].all()
    path = getattr(prior, "draw_path", None)
    if path is not None:
        drawn = path(batch(values), NOISE, prior.config.noisings).masks.pinned
        everywhere = drawn.view(-1, len(values), BLOCK).all(0)
        assert torch.equal(pinned, everywhere)


# Priors that learn from what they say themselves: that is held constant, the data in it is not.


def taught(kind: str, **options: Any) -> Any:
    return shaken(kind, network=NETWORK, history_dropout=0.0, pinned_blocks=0.0, **options)


@pytest.mark.parametrize("kind", ["shortcut", "mean_flow"])
def test_self_made_targets_hold_the_network_and_pass_the_velocity(kind: str) -> None:
    options = {"weight_power": 0.0} if kind == "mean_flow" else {}
    prior, values = taught(kind, self_taught=1.0, noisings=1, **options), latents(2, 1)
    data = batch(values)
    times, spans = prior.draw_spans(NOISE, 1, prior.blocks(values))
    path = replace(prior.draw_path(data, NOISE, 1), times=times)

    def meant(shown: Tensor, held: Tensor) -> Tensor:
        own = replace(prior.draw_path(batch(shown), NOISE, 1), times=times)
        predict = prior.denoiser.predictor(prior.denoiser.past(prior.history(data)), own.masks)
        target = held
        if kind == "mean_flow":
            target = own.velocity() - spans[..., None, None] * held
        error = predict(own.point(), torch.stack([times, spans], -1)) - target
        return error.square().mean(-1).sum()

    with torch.no_grad():
        predict = prior.denoiser.predictor(prior.denoiser.past(prior.history(data)), path.masks)
        held = prior.target(path, spans, predict)
        if kind == "mean_flow":
            held = prior.derivative(path, spans, predict)
    found = slopes(lambda shown: total(prior.losses(batch(shown), NOISE)), values)
    for place in range(BLOCK):
        expected = differences(lambda shown: meant(shown, held), values, place)
        assert expected.abs().max() > 0.01
        torch.testing.assert_close(found[:, place], expected, atol=1e-6, rtol=1e-5)


def test_a_mean_flow_that_says_a_constant_has_a_gradient_in_closed_form() -> None:
    prior, values = taught("mean_flow", self_taught=1.0, noisings=1, weight_power=0.0), latents(3)
    with torch.no_grad():
        prior.head.weight.zero_()
    path = prior.draw_path(batch(values), NOISE, 1)
    found = slopes(lambda shown: total(prior.losses(batch(shown), NOISE)), values)
    # |b - (eps - z)|² / dim, as nothing that the network says depends on z.
    expected = 2 * (prior.head.bias - path.velocity()) / DIM
    torch.testing.assert_close(prior.blocks(found), expected)


@pytest.mark.parametrize("width", [0.0, 0.5])
def test_a_consistency_target_holds_the_network_and_passes_the_point(width: float) -> None:
    prior = taught("consistency", huber_width=width, noisings=1)
    values, noise = latents(2, 2), replace(NOISE, step=40, steps=100)
    history = prior.history(batch(values))
    path = prior.draw_path(batch(values), noise, 1)
    earlier = prior.earlier(path.times, noise.progress)
    assert (earlier > 0).all()
    with torch.no_grad():
        predict = prior.denoiser.predictor(prior.denoiser.past(history), path.masks)
        held = predict(path.point(earlier), earlier[..., None])

    def meant(shown: Tensor) -> Tensor:
        own = prior.draw_path(batch(shown), noise, 1)
        predict = prior.denoiser.predictor(prior.denoiser.past(history), own.masks)
        t, r = own.times[..., None, None], earlier[..., None, None]
        found = own.point() - t * predict(own.point(), own.times[..., None])
        apart = (found - (own.point(earlier) - r * held)).square().mean(-1) + width**2
        further = own.times / (1 - own.times) - earlier / (1 - earlier)
        return ((apart.sqrt() - width) / further[..., None]).sum()

    found = slopes(lambda shown: total(prior.losses(batch(shown), noise)), values)
    for place in (BLOCK - 1, 2 * BLOCK - 2):
        expected = differences(meant, values, place)
        assert expected.abs().max() > 0.01
        torch.testing.assert_close(found[:, place], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", ["rectified_flow", "consistency"])
def test_a_student_tells_the_encoder_nothing_of_its_teachers_samples(kind: str) -> None:
    options = {"mode": "distillation"} if kind == "consistency" else {"teacher_steps": 2}
    prior = taught(kind, **options)
    values = latents(2)
    found = slopes(lambda shown: total(prior.losses(batch(shown), NOISE)), values)
    assert not found.any()
    teacher = prior.phases()[0]
    found = slopes(lambda shown: total(teacher.losses(batch(shown), NOISE)), values)
    assert found.abs().max() > 0.01
