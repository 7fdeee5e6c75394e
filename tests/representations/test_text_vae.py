"""The text VAE: causality, padding, incremental decoding, closed forms, and that it learns."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional

import colaflex
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.values import Segmentation, TokenBatch, Vocabulary
from colaflex.representations.text_vae_config import TextVAEConfig

SIZE, SLOTS, DIM = 13, 3, 4
VOCABULARY = Vocabulary(SIZE, end_of_text=0, mask=1)
LENGTHS = ([3, 3, 1, 2], [2, 3, 0, 0], [3, 3, 3, 3], [1, 0, 0, 0])
"""Tokens of each segment, in four rows; 0 behind a row's last one."""


def build(double: bool = True, **options: Any) -> Any:
    torch.manual_seed(0)
    shape = {"width": 32, "heads": 2, "embedding_dim": 8, "latent_dim": DIM}
    vae = colaflex.build(
        "representation",
        "text_vae",
        vocabulary=VOCABULARY,
        max_segment_tokens=SLOTS,
        **{**shape, **options},
    )
    for name, parameter in vae.named_parameters():
        if "attention.output" in name or "feed.down" in name:  # small at first: would hide mistakes
            torch.nn.init.normal_(parameter, std=0.3)
    return vae.double() if double else vae


def batch(
    lengths: Any = LENGTHS, seed: int = 0, width: int = 12
) -> tuple[TokenBatch, Segmentation]:
    generator = torch.Generator().manual_seed(seed)
    cut = torch.tensor(lengths)
    tokens = torch.randint(2, SIZE, (len(cut), width), generator=generator)
    total = cut.sum(1)
    tokens[torch.arange(width) >= total[:, None]] = 0
    return TokenBatch(tokens, total, torch.ones(len(cut), dtype=torch.bool)), Segmentation(cut)


def noise(step: int = 0, first: int = 0) -> Noise:
    return Noise(7, step, "test", first, len(LENGTHS))


@pytest.mark.parametrize("training", [True, False])
def test_later_tokens_never_touch_earlier_posteriors_or_logits(training: bool) -> None:
    vae = build(double=False).requires_grad_(training)  # attention differs where gradients flow
    tokens, segmentation = batch()
    starts = segmentation.lengths.cumsum(1) - segmentation.lengths
    before = vae.encode(tokens, segmentation)
    logits = vae.decode(before.mean)
    for segment in range(1, 4):
        changed = tokens.tokens.clone()
        late = torch.arange(12) >= starts[:, segment, None]
        changed[late] = (changed[late] + 5) % SIZE
        other = TokenBatch(changed, tokens.lengths, tokens.complete)
        after = vae.encode(other, segmentation)
        assert torch.equal(before.mean[:, :segment], after.mean[:, :segment])
        assert torch.equal(before.log_variance[:, :segment], after.log_variance[:, :segment])
        assert torch.equal(logits[:, :segment], vae.decode(after.mean)[:, :segment])
        there = segmentation.mask[:, segment]
        assert (before.mean != after.mean)[there, segment].any(-1).all()


def test_a_row_is_the_same_alone_and_among_others() -> None:
    vae = build()
    tokens, segmentation = batch()
    together = vae.encode(tokens, segmentation)
    logits = vae.decode(together.mean)
    for row, length in enumerate(tokens.lengths.tolist()):
        count = int(segmentation.count[row])
        alone = TokenBatch(
            tokens.tokens[row : row + 1, :length],
            tokens.lengths[row : row + 1],
            tokens.complete[:1],
        )
        posterior = vae.encode(alone, Segmentation(segmentation.lengths[row : row + 1, :count]))
        torch.testing.assert_close(posterior.mean[0], together.mean[row, :count], atol=1e-9, rtol=0)
        found = vae.decode(posterior.mean)[0]
        torch.testing.assert_close(found, logits[row, :count], atol=1e-9, rtol=0)


@pytest.mark.parametrize(("double", "tolerance"), [(True, 1e-9), (False, 1e-5)])
def test_decoding_piece_by_piece_equals_decoding_at_once(double: bool, tolerance: float) -> None:
    vae = build(double)
    generator = torch.Generator().manual_seed(3)
    latents = torch.randn(3, 7, DIM, generator=generator, dtype=vae.lift.weight.dtype)
    whole = vae.decode(latents)
    # Rows advance by different amounts, some by none; every row ends at its own place.
    pieces = [[2, 0, 1], [0, 3, 1], [1, 1, 1], [3, 0, 4], [1, 3, 0]]
    state, done = vae.begin_decoding(3), [0, 0, 0]
    for counts in pieces:
        width = max(counts)
        piece = torch.full((3, width, DIM), 9.0, dtype=latents.dtype)  # void where not counted
        for row, count in enumerate(counts):
            piece[row, :count] = latents[row, done[row] : done[row] + count]
        logits, state = vae.decode_next(piece, state, torch.tensor(counts))
        for row, count in enumerate(counts):
            expected = whole[row, done[row] : done[row] + count]
            torch.testing.assert_close(
                logits[row, :count], expected, atol=tolerance, rtol=tolerance
            )
            done[row] += count
    assert done == [7, 7, 7]


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


def test_losses_add_up_however_the_rows_are_split() -> None:
    vae = build(mask_rows=0.6, mask_ratio=0.5)
    tokens, segmentation = batch()
    for step in range(3):
        whole = vae.losses(tokens, segmentation, noise(step=step))
        for cut in (1, 2, 3):
            parts = [
                vae.losses(
                    tokens.rows(slice(a, b)),
                    Segmentation(segmentation.lengths[a:b]),
                    noise(step=step, first=a),
                )
                for a, b in ((0, cut), (cut, 4))
            ]
            for name, term in whole.losses.items():
                total = sum(part.losses[name].total for part in parts)
                torch.testing.assert_close(total, term.total, atol=1e-9, rtol=1e-9)
            joined = torch.cat([part.sample for part in parts])
            torch.testing.assert_close(joined, whole.sample, atol=1e-9, rtol=0)


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


def test_model_flops_agree_with_torch_counting_dense_attention() -> None:
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    vae = build(mask_weight=0.0, double=False)
    tokens, segmentation = batch([[3, 3, 3, 3]] * 4)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        vae.losses(tokens, segmentation, noise())
    dense = 4 * 4 * 32 * 4 * (16 - 10)  # layers, 4 width, rows, the pairs that causality drops
    assert counter.get_total_flops() == pytest.approx(vae.flops(4, 4) + dense, rel=0.01)


def test_it_learns_to_reconstruct_unseen_text_and_where_short_segments_end() -> None:
    vae = build(double=False, latent_dim=12, width=64, rate_weight=1e-3, mask_weight=0.0)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=4e-3)
    choices = torch.tensor(LENGTHS)[:3]
    order = torch.Generator().manual_seed(5)
    for step in range(150):
        lengths = choices[torch.randint(3, (32,), generator=order)].tolist()
        tokens, segmentation = batch(lengths, seed=100 + step)
        terms = vae.losses(tokens, segmentation, Noise(0, step)).losses
        loss = terms["realisation"].total / tokens.lengths.sum()
        loss = loss + terms["rate"].weight * terms["rate"].total / segmentation.count.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    lengths = choices[torch.randint(3, (64,), generator=order)].tolist()
    tokens, segmentation = batch(lengths, seed=1)
    with torch.no_grad():
        best = vae.decode(vae.encode(tokens, segmentation).mode()).argmax(-1)
    grid, held = segmentation.slots(tokens.tokens, SLOTS)
    assert (best == grid)[held].float().mean() > 0.99
    short = segmentation.mask & (segmentation.lengths < SLOTS)
    ends = best.gather(2, segmentation.lengths.clamp(max=SLOTS - 1)[..., None])[short]
    assert (ends == vae.end_of_segment).float().mean() > 0.99
    assert (best == vae.end_of_segment)[held].float().mean() < 0.01


def test_the_config_refuses_what_cannot_be_built() -> None:
    with pytest.raises(ValidationError, match="does not split into 3 heads"):
        TextVAEConfig(width=32, heads=3)
    with pytest.raises(ValidationError, match="one channel normalises to 0"):
        TextVAEConfig(latent_dim=1, log_snr=4.0)
    assert TextVAEConfig(latent_dim=1).capabilities().continuous_density


def test_low_precision_keeps_densities_wide() -> None:
    vae = build(double=False)
    tokens, segmentation = batch()
    with torch.autocast("cpu", torch.bfloat16):
        encoding = vae.losses(tokens, segmentation, noise())
    assert encoding.posterior.mean.dtype == encoding.sample.dtype == torch.float32
    plain = vae.losses(tokens, segmentation, noise())
    for name, term in plain.losses.items():
        assert encoding.losses[name].total.item() == pytest.approx(term.total.item(), rel=0.05)
    reference = functional.mse_loss(encoding.posterior.mean, plain.posterior.mean)
    assert reference < 1e-3 * plain.posterior.mean.square().mean()
