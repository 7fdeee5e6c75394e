"""What encoders and decoders of segments learn to do without: tokens, and noise in raw units."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from segments import LENGTHS, SLOTS, VOCABULARY, batch, build, noise

from colaflex.interfaces.noise import Noise

AUTOENCODERS = pytest.mark.parametrize("name", ["text_vae", "text_ae"])
UNDISTURBED = {"decoder_noise": 0.0, "latent_dropout": 0.0, "mask_weight": 0.0}


@AUTOENCODERS
def test_hidden_tokens_are_not_read_and_still_have_to_be_told(name: str) -> None:
    one = build(name=name, token_dropout=0.5, **UNDISTURBED)
    tokens, segmentation = batch()
    seen: list[torch.Tensor] = []
    one.embedding.register_forward_pre_hook(lambda _, grids: seen.append(grids[0]))
    encoding = one.losses(tokens, segmentation, noise())
    grid, held = segmentation.slots(tokens.tokens, SLOTS)
    hidden = held & (seen[0] == VOCABULARY.mask)
    assert 0 < hidden.sum() < held.sum()
    assert torch.equal(seen[0][held & ~hidden], grid[held & ~hidden])
    assert (seen[0][~held] == one.end_of_segment).all()
    nats = one._cross_entropy(one.decode(encoding.sample), grid, held, segmentation.mask)
    torch.testing.assert_close(encoding.losses["realisation"].total, nats)


@AUTOENCODERS
def test_as_many_tokens_are_hidden_as_is_said(name: str) -> None:
    one = build(name=name, token_dropout=0.3)
    tokens, segmentation = batch([[3] * 400] * 4, width=1200)
    view = one._view(tokens.tokens, segmentation, noise())
    share = (view != tokens.tokens).double().mean()
    assert share == pytest.approx(0.3, abs=0.035)  # 4800 draws: std 0.007


@AUTOENCODERS
def test_encoding_afterwards_hides_nothing(name: str) -> None:
    plain, dropped = build(name=name), build(name=name, token_dropout=0.5)
    tokens, segmentation = batch(LENGTHS)
    assert torch.equal(
        plain.encode(tokens, segmentation).mean, dropped.encode(tokens, segmentation).mean
    )


def test_nothing_is_drawn_for_what_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    for kind in ("normal", "uniform"):
        draw = getattr(Noise, kind)

        def told(self: Noise, purpose: str, *of: Any, draw: Any = draw) -> Any:
            drawn.append(purpose)
            return draw(self, purpose, *of)

        monkeypatch.setattr(Noise, kind, told)
    build().losses(*batch(), noise())
    assert set(drawn) == {"posterior", "masked rows", "masked tokens"}
    build(token_dropout=0.1, decoder_noise_absolute=1.0).losses(*batch(), noise())
    assert {"token dropout", "absolute decoder noise"} < set(drawn)


def test_absolute_noise_is_as_large_whatever_the_latents_are() -> None:
    one = build(decoder_noise_absolute=3.0)
    for size in (0.1, 10.0):
        sample = torch.full((4, 2000, 4), size).double()
        fed = one._disturbed(sample, noise()) - sample
        assert fed.square().mean().sqrt() == pytest.approx(3.0, rel=0.02)  # 32000 draws


def test_absolute_and_relative_noise_are_two_draws() -> None:
    one = build(decoder_noise_absolute=3.0, decoder_noise=2.0)
    sample = torch.full((4, 2000, 4), 2.0).double()
    fed = one._disturbed(sample, noise()) - sample
    assert fed.square().mean() == pytest.approx(3.0**2 + 4.0**2, rel=0.03)


def test_a_latent_of_fixed_size_has_no_absolute_noise() -> None:
    with pytest.raises(ValueError, match="decoder_noise is the unit"):
        build(decoder_noise_absolute=3.0, log_snr=4.0)


@AUTOENCODERS
def test_tokens_that_token_layers_read_are_not_hidden(name: str) -> None:
    with pytest.raises(ValueError, match="token_layers have read them"):
        build(name=name, token_dropout=0.1, token_layers=1)
