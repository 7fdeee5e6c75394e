"""The text autoencoder: points of a fixed scale, and a decoder that bears noise."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from segments import SLOTS, batch, build, noise, trained

from colaflex.representations.configs import TextAEConfig

FULL = ([SLOTS] * 4,)


def test_latents_are_points_of_mean_zero_and_mean_square_one() -> None:
    made = build(name="text_ae", latent_dim=16)
    with torch.no_grad():
        made.posterior.weight.mul_(100.0)  # an encoder that would outgrow the noise
    posterior = made.encode(*batch())
    assert posterior.log_variance is None
    square = posterior.mean.square().mean(-1)
    # LayerNorm's epsilon of 1e-5 beside variances that large.
    torch.testing.assert_close(square, torch.ones_like(square), atol=1e-5, rtol=0)
    torch.testing.assert_close(posterior.mean.mean(-1), torch.zeros_like(square), atol=1e-9, rtol=0)


def test_the_terms_of_its_losses_and_the_sample_are_those_of_a_point() -> None:
    made = build(name="text_ae")
    tokens, segmentation = batch()
    encoding = made.losses(tokens, segmentation, noise())
    assert {name: (t.per, t.weight) for name, t in encoding.losses.items()} == {
        "realisation": ("tokens", 1.0),
        "masked": ("tokens", 0.1),
    }
    assert torch.equal(encoding.sample, made.encode(tokens, segmentation).mean)
    again = made.losses(tokens, segmentation, noise(step=1)).losses["realisation"].total
    assert again != encoding.losses["realisation"].total  # other noise


@functools.cache
def learned(decoder_noise: float) -> Any:
    made = build(
        False,
        "text_ae",
        latent_dim=24,
        width=48,
        encoder_layers=1,
        decoder_layers=1,
        mask_weight=0.0,
        latent_dropout=0.0,
        decoder_noise=decoder_noise,
    )
    return trained(made, steps=250, choices=FULL)


@torch.no_grad()
def accuracy(made: Any, std: float) -> float:
    """Tokens of unseen text read right from latents with noise of this std."""
    tokens, segmentation = batch(list(FULL) * 128, seed=1)
    latents = made.encode(tokens, segmentation).mode()
    drawn = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    best = made.decode(latents + std * drawn).argmax(-1)
    grid, _ = segmentation.slots(tokens.tokens, SLOTS)
    return (best == grid).float().mean().item()


def test_a_decoder_that_learned_from_noise_bears_it_better() -> None:
    robust, brittle = learned(0.5), learned(0.0)
    assert accuracy(robust, 0.0) > 0.99 and accuracy(brittle, 0.0) > 0.99
    # Noise of 0.8 is more than either has seen. Standard errors over 1536 tokens are about 0.01.
    assert accuracy(robust, 0.8) > accuracy(brittle, 0.8) + 0.05


def test_the_config_says_what_it_is_and_refuses_one_channel() -> None:
    declared = TextAEConfig().capabilities()
    assert not declared.continuous_density and declared.causality == "causal"
    with pytest.raises(ValidationError, match="greater than or equal to 2"):
        TextAEConfig(latent_dim=1)
    with pytest.raises(ValidationError, match="log_snr"):
        TextAEConfig(log_snr=1.0)  # type: ignore[call-arg]
