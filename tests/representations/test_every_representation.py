"""What holds for every representation of text: causality, padding, caches, sums, and learning."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from segments import DIM, LENGTHS, SIZE, SLOTS, batch, build, noise, trained

from colaflex.interfaces.values import Segmentation, TokenBatch

SEGMENTS = pytest.mark.parametrize("name", ["text_vae", "text_ae"])
IN_TURN = {
    f"{name}, told in turn": (name, {"decoder": "autoregressive", "segment_layers": 2})
    for name in ("text_vae", "text_ae", "resampler")
}
EVERY = pytest.mark.parametrize(
    "name", ["text_vae", "text_ae", "resampler", "token_embedding", *IN_TURN]
)
JOINED = ("text_vae", "text_ae", "text_vae, told in turn", "text_ae, told in turn")
"""Those that can be trained on masked views."""
TOKENS = [[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]]
"""Segments of one token, as the token embedding needs them."""


def made(name: str, double: bool = True, **options: Any) -> Any:
    name, own = IN_TURN.get(name, (name, {}))
    options = {**own, **options}
    return build(double, name, 1 if name == "token_embedding" else SLOTS, **options)


def rows(name: str) -> tuple[TokenBatch, Segmentation]:
    return batch(TOKENS if name == "token_embedding" else LENGTHS)


@EVERY
@pytest.mark.parametrize("training", [True, False])
def test_later_tokens_never_touch_earlier_posteriors_or_logits(name: str, training: bool) -> None:
    one = made(name, double=False).requires_grad_(training)  # attention differs with gradients
    tokens, segmentation = rows(name)
    starts = segmentation.lengths.cumsum(1) - segmentation.lengths
    before = one.encode(tokens, segmentation)
    logits = one.decode(before.mean)
    for segment in range(1, 4):
        changed = tokens.tokens.clone()
        late = torch.arange(12) >= starts[:, segment, None]
        changed[late] = (changed[late] + 5) % SIZE
        other = TokenBatch(changed, tokens.lengths, tokens.complete)
        after = one.encode(other, segmentation)
        assert torch.equal(before.mean[:, :segment], after.mean[:, :segment])
        if before.log_variance is not None:
            assert torch.equal(before.log_variance[:, :segment], after.log_variance[:, :segment])
        assert torch.equal(logits[:, :segment], one.decode(after.mean)[:, :segment])
        there = segmentation.mask[:, segment]
        assert (before.mean != after.mean)[there, segment].any(-1).all()


@EVERY
def test_a_row_is_the_same_alone_and_among_others(name: str) -> None:
    one = made(name)
    tokens, segmentation = rows(name)
    together = one.encode(tokens, segmentation)
    logits = one.decode(together.mean)
    for row, length in enumerate(tokens.lengths.tolist()):
        count = int(segmentation.count[row])
        alone = TokenBatch(
            tokens.tokens[row : row + 1, :length],
            tokens.lengths[row : row + 1],
            tokens.complete[:1],
        )
        posterior = one.encode(alone, Segmentation(segmentation.lengths[row : row + 1, :count]))
        torch.testing.assert_close(posterior.mean[0], together.mean[row, :count], atol=1e-9, rtol=0)
        found = one.decode(posterior.mean)[0]
        torch.testing.assert_close(found, logits[row, :count], atol=1e-9, rtol=0)


@EVERY
@pytest.mark.parametrize(("double", "tolerance"), [(True, 1e-9), (False, 1e-5)])
def test_decoding_piece_by_piece_equals_decoding_at_once(
    name: str, double: bool, tolerance: float
) -> None:
    one = made(name, double)
    generator = torch.Generator().manual_seed(3)
    latents = torch.randn(3, 7, DIM, generator=generator, dtype=next(one.parameters()).dtype)
    whole = one.decode(latents)
    # Rows advance by different amounts, some by none; every row ends at its own place.
    pieces = [[2, 0, 1], [0, 3, 1], [1, 1, 1], [3, 0, 4], [1, 3, 0]]
    state, done = one.begin_decoding(3), [0, 0, 0]
    for number, counts in enumerate(pieces):
        width = max(counts)
        piece = torch.full((3, width, DIM), 9.0, dtype=latents.dtype)  # void where not counted
        for row, count in enumerate(counts):
            piece[row, :count] = latents[row, done[row] : done[row] + count]
        before = state
        logits, state = one.decode_next(piece, before, torch.tensor(counts))
        if number % 2:
            state = one.continue_decoding(piece, before, torch.tensor(counts))
        for row, count in enumerate(counts):
            expected = whole[row, done[row] : done[row] + count]
            torch.testing.assert_close(
                logits[row, :count], expected, atol=tolerance, rtol=tolerance
            )
            done[row] += count
    assert done == [7, 7, 7]


DISTURBED = {"decoder_noise": 0.3, "latent_dropout": 0.2}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("text_vae", {"mask_rows": 0.6, "mask_ratio": 0.5}),
        ("text_vae", {"free_bits": 0.1, **DISTURBED}),
        ("text_ae", {"mask_rows": 0.6, "mask_ratio": 0.5, **DISTURBED}),
        ("text_vae", {"token_dropout": 0.3, "decoder_noise_absolute": 2.0, "alpha": 1.5}),
        ("text_ae", {"token_dropout": 0.3, "alpha": 1.5, **DISTURBED}),
        ("resampler", {"token_dropout": 0.3, **DISTURBED}),
        ("token_embedding", {}),
        ("text_vae, told in turn", {"context_dropout": 0.3, "mask_rows": 0.6}),
        ("resampler, told in turn", {"context_dropout": 0.3}),
    ],
)
def test_losses_add_up_however_the_rows_are_split(name: str, options: Any) -> None:
    one = made(name, **options)
    tokens, segmentation = rows(name)
    for step in range(3):
        whole = one.losses(tokens, segmentation, noise(step=step))
        for cut in (1, 2, 3):
            parts = [
                one.losses(
                    tokens.rows(slice(a, b)),
                    Segmentation(segmentation.lengths[a:b]),
                    noise(step=step, first=a),
                )
                for a, b in ((0, cut), (cut, 4))
            ]
            for term_name, term in whole.losses.items():
                total = sum(part.losses[term_name].total for part in parts)
                torch.testing.assert_close(total, term.total, atol=1e-9, rtol=1e-9)
            joined = torch.cat([part.sample for part in parts])
            torch.testing.assert_close(joined, whole.sample, atol=1e-9, rtol=0)


@EVERY
def test_gradients_reach_every_parameter(name: str) -> None:
    one = made(name)
    tokens, segmentation = rows(name)
    terms = one.losses(tokens, segmentation, noise()).losses
    sum(t.weight * t.total for t in terms.values()).backward()
    for parameter_name, parameter in one.named_parameters():
        assert torch.isfinite(parameter.grad).all(), parameter_name
        assert parameter.grad.abs().max() > 0, parameter_name


@EVERY
def test_model_flops_agree_with_torch_counting_dense_attention(name: str) -> None:
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    one = made(name, double=False, **({"mask_weight": 0.0} if name in JOINED else {}))
    tokens, segmentation = batch([[one.slots] * 4] * 4)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        one.losses(tokens, segmentation, noise())
    # Layers, 4 width, rows, the pairs that causality drops.
    own = name.split(",")[0]
    positions = {"resampler": 4 * (SLOTS + 1), "token_embedding": 0}.get(own, 4)
    dense = 4 * 4 * 32 * 4 * positions * (positions - 1) // 2
    if name in IN_TURN:  # two layers of 8 channels in 16 segments
        dense += 2 * 4 * 8 * 16 * SLOTS * (SLOTS - 1) // 2
    assert counter.get_total_flops() == pytest.approx(one.flops(4, 4) + dense, rel=0.01)


@EVERY
def test_low_precision_keeps_densities_wide(name: str) -> None:
    one = made(name, double=False)
    tokens, segmentation = rows(name)
    with torch.autocast("cpu", torch.bfloat16):
        encoding = one.losses(tokens, segmentation, noise())
    assert encoding.posterior.mean.dtype == encoding.sample.dtype == torch.float32
    plain = one.losses(tokens, segmentation, noise())
    for term_name, term in plain.losses.items():
        assert encoding.losses[term_name].total.item() == pytest.approx(term.total.item(), rel=0.05)
    error = (encoding.posterior.mean - plain.posterior.mean).square().mean()
    assert error < 1e-3 * plain.posterior.mean.square().mean()


@SEGMENTS
def test_it_learns_to_reconstruct_unseen_text_and_where_short_segments_end(name: str) -> None:
    options = {"decoder_noise": 0.2, "latent_dropout": 0.0} if name == "text_ae" else {}
    one = made(name, double=False, latent_dim=12, width=64, mask_weight=0.0, **options)
    trained(one, steps=150)
    choices = torch.tensor(LENGTHS)[:3]
    lengths = choices[torch.randint(3, (64,), generator=torch.Generator().manual_seed(6))].tolist()
    tokens, segmentation = batch(lengths, seed=1)
    with torch.no_grad():
        best = one.decode(one.encode(tokens, segmentation).mode()).argmax(-1)
    grid, held = segmentation.slots(tokens.tokens, SLOTS)
    assert (best == grid)[held].float().mean() > 0.99
    short = segmentation.mask & (segmentation.lengths < SLOTS)
    ends = best.gather(2, segmentation.lengths.clamp(max=SLOTS - 1)[..., None])[short]
    assert (ends == one.end_of_segment).float().mean() > 0.99
    assert (best == one.end_of_segment)[held].float().mean() < 0.01
