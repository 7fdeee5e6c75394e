"""The text VAE: closed forms of its losses, a fixed logSNR, free bits, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from segments import DIM, LENGTHS, SIZE, SLOTS, batch, build, noise

from colaflex.interfaces.values import Posterior
from colaflex.representations.configs import TextVAEConfig


@pytest.mark.parametrize("log_snr", [-1.5, 0.0, 5.0])
def test_a_fixed_log_snr_is_kept_exactly(log_snr: float) -> None:
    vae = build(log_snr=log_snr, latent_dim=16)
    tokens, segmentation = batch()
    posterior = vae.encode(tokens, segmentation)
    # LayerNorm's epsilon of 1e-5 beside a variance near 0.1 is what is missing to 1.
    square = posterior.mean.square().mean(-1)
    torch.testing.assert_close(square, torch.ones_like(square), atol=2e-3, rtol=0)
    torch.testing.assert_close(posterior.mean.mean(-1), torch.zeros_like(square), atol=1e-9, rtol=0)
    assert posterior.log_variance.exp().item() == pytest.approx(math.exp(-log_snr))
    assert posterior.log_snr(segmentation.mask).item() == pytest.approx(log_snr, abs=2e-3)


def test_losses_are_what_they_say() -> None:
    vae = build(rate_weight=0.25, mask_weight=0.5)
    tokens, segmentation = batch()
    encoding = vae.losses(tokens, segmentation, noise())
    posterior = vae.encode(tokens, segmentation)
    drawn = noise().normal("posterior", posterior.mean.shape, posterior.mean)
    torch.testing.assert_close(encoding.sample, posterior.sample(drawn))
    logits = vae.decode(encoding.sample).log_softmax(-1)
    expected = 0.0
    for row, lengths in enumerate(LENGTHS):
        place = 0
        for segment, length in enumerate(lengths):
            for slot in range(length):
                expected -= logits[row, segment, slot, tokens.tokens[row, place]].item()
                place += 1
            if 0 < length < SLOTS:
                expected -= logits[row, segment, length, vae.end_of_segment].item()
    terms = encoding.losses
    assert {name: (t.per, t.weight) for name, t in terms.items()} == {
        "realisation": ("tokens", 1.0),
        "rate": ("latents", 0.25),
        "masked": ("tokens", 0.5),
    }
    assert terms["realisation"].total.item() == pytest.approx(expected)
    rate = posterior.kl()[segmentation.mask].sum()
    assert terms["rate"].total.item() == pytest.approx(rate.item())


def test_the_masked_loss_estimates_the_loss_over_all_tokens() -> None:
    vae = build(mask_rows=0.5, mask_ratio=0.3, encoder_layers=0, decoder_layers=0)
    torch.nn.init.zeros_(vae.unembedding.weight)
    torch.nn.init.zeros_(vae.unembedding.bias)
    tokens, segmentation = batch()
    draws = [
        vae.losses(tokens, segmentation, noise(step=step)).losses["masked"].total.item()
        for step in range(400)
    ]
    # All tokens are equally probable, so that only how many are hidden is random.
    found = torch.tensor(draws) / (int(tokens.lengths.sum()) * math.log(SIZE + 1))
    assert abs(found.mean() - 1) < 4 * found.std() / len(draws) ** 0.5


def test_a_batch_of_which_no_row_is_masked_is_fine() -> None:
    vae = build(mask_rows=1e-9)
    tokens, segmentation = batch()
    terms = vae.losses(tokens, segmentation, noise()).losses
    assert terms["masked"].total.item() == 0.0
    sum(t.total for t in terms.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in vae.parameters())


@pytest.mark.parametrize("log_snr", ["learned", 4.0])
def test_gradients_reach_every_parameter(log_snr: Any) -> None:
    vae = build(log_snr=log_snr, mask_rows=1.0)
    tokens, segmentation = batch()
    terms = vae.losses(tokens, segmentation, noise()).losses
    sum(t.weight * t.total for t in terms.values()).backward()
    for name, parameter in vae.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_the_config_refuses_what_cannot_be_built() -> None:
    with pytest.raises(ValidationError, match="does not split into 3 heads"):
        TextVAEConfig(width=32, heads=3)
    with pytest.raises(ValidationError, match="one channel normalises to 0"):
        TextVAEConfig(latent_dim=1, log_snr=4.0)
    with pytest.raises(ValidationError, match="free_bits needs a learned log_snr"):
        TextVAEConfig(log_snr=4.0, free_bits=0.1)
    assert TextVAEConfig(latent_dim=1).capabilities().continuous_density


# Free bits.


def channel_kl(posterior: Posterior) -> torch.Tensor:
    assert posterior.log_variance is not None
    terms = posterior.mean.square() + posterior.log_variance.exp() - 1 - posterior.log_variance
    return 0.5 * terms


def rate(vae: Any) -> tuple[torch.Tensor, Posterior]:
    tokens, segmentation = batch([[3, 3, 3, 3]] * 4)
    encoding = vae.losses(tokens, segmentation, noise())
    encoding.posterior.mean.retain_grad()
    encoding.posterior.log_variance.retain_grad()
    return encoding.losses["rate"].total, encoding.posterior


def test_free_bits_leave_the_rate_and_take_the_gradient_of_channels_below_them() -> None:
    plain, posterior = rate(build(mask_weight=0.0))
    plain.backward()
    kl = channel_kl(posterior)
    floor = kl.flatten().sort().values[31:33].mean().item()  # between two of them
    free, other = rate(build(mask_weight=0.0, free_bits=floor))
    free.backward()
    torch.testing.assert_close(free, plain)  # what is reported is the KL
    below = kl <= floor
    assert int(below.sum()) == 32
    for one, two in ((posterior.mean, other.mean), (posterior.log_variance, other.log_variance)):
        assert torch.equal(two.grad[below], torch.zeros_like(two.grad[below]))
        torch.testing.assert_close(two.grad[~below], one.grad[~below])
    # The gradient of sum max(KL, floor), by differences.
    mean = posterior.mean.detach()
    step = 1e-6 * torch.randn(mean.shape, generator=torch.Generator().manual_seed(0)).double()

    def objective(at: torch.Tensor) -> torch.Tensor:
        return channel_kl(Posterior(at, posterior.log_variance)).clamp(min=floor).sum()

    found = (objective(mean + step) - objective(mean - step)).item() / 2
    assert found == pytest.approx((other.mean.grad * step).sum().item(), rel=1e-4)


def test_the_rate_alone_drives_channels_down_to_the_free_bits_and_no_further() -> None:
    draws = torch.Generator().manual_seed(0)
    start = 1.5 * torch.randn(2, 64, DIM, generator=draws).double()
    began = channel_kl(Posterior(start[:1], start[1:]))
    mask = torch.ones(1, 64, dtype=torch.bool)
    for floor in (0.0, 0.5):
        vae, at = build(free_bits=floor), start.clone().requires_grad_()
        for _ in range(2000):
            term = vae._regularisers(Posterior(at[:1], at[1:]), mask)["rate"]
            (slope,) = torch.autograd.grad(term.total, at)
            with torch.no_grad():
                at -= 0.02 * slope
        ended = channel_kl(Posterior(at[:1], at[1:])).detach()
        if not floor:
            assert ended.max() < 1e-3
            continue
        low = began <= floor
        assert 0.1 < low.double().mean() < 0.9
        assert torch.equal(ended[low], began[low])
        # The last step begins above the floor and goes down by at most 0.02 · |slope|^2.
        assert ended[~low].max() <= floor and ended[~low].min() > 0.9 * floor


# Noise for the decoder.


def test_the_decoders_noise_is_relative_to_each_latent_and_no_priors_business() -> None:
    vae, disturbed = build(mask_weight=0.0), build(mask_weight=0.0, decoder_noise=0.5)
    tokens, segmentation = batch()
    plain, encoding = (v.losses(tokens, segmentation, noise()) for v in (vae, disturbed))
    assert torch.equal(plain.sample, encoding.sample)
    assert torch.equal(plain.losses["rate"].total, encoding.losses["rate"].total)
    size = plain.sample.square().mean(-1, keepdim=True).sqrt()
    drawn = noise().normal("decoder noise", plain.sample.shape, plain.sample)
    grid, held = segmentation.slots(tokens.tokens, SLOTS)
    logits = vae.decode(plain.sample + 0.5 * size * drawn)
    expected = vae._cross_entropy(logits, grid, held, segmentation.mask)
    torch.testing.assert_close(encoding.losses["realisation"].total, expected)
    assert plain.losses["realisation"].total != expected


def test_dropped_channels_are_zero_and_the_others_make_up_for_them() -> None:
    vae = build(latent_dropout=0.25)
    sample = torch.ones(4, 1000, 4).double()
    fed = vae._disturbed(sample, noise())
    assert set(fed.unique().tolist()) == {0.0, 1 / 0.75}
    assert abs(fed.mean() - 1) < 5 * (0.25 / 0.75 / 16000) ** 0.5
