"""The resampler: identical queries each cut at a prefix's end, and what is dropped in training."""

from __future__ import annotations

import pytest
import torch
from segments import LENGTHS, SIZE, SLOTS, VOCABULARY, batch, build, noise, trained

import colaflex
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.values import Segmentation, TokenBatch


def test_a_query_reads_all_tokens_up_to_its_segments_end_and_none_behind() -> None:
    one = build(name="resampler")
    tokens, segmentation = batch([[3, 3, 3, 3]])
    embedded = one.embedding.weight.detach()[tokens.tokens].requires_grad_(True)
    one.embedding.forward = lambda grid: embedded.view(1, 4, SLOTS, -1)
    mean = one.encode(tokens, segmentation).mean
    for segment in range(4):
        (slope,) = torch.autograd.grad(mean[0, segment, 0], embedded, retain_graph=True)
        read = slope[0].abs().amax(-1) > 0
        assert read.tolist() == [place < 3 * (segment + 1) for place in range(12)]


def test_a_slot_reads_its_own_latent_and_those_before_alone() -> None:
    one = build(name="resampler")
    latents = torch.randn(1, 4, 4, dtype=torch.float64, requires_grad=True)
    logits = one.decode(latents)
    for segment in range(4):
        for slot in range(SLOTS):
            (slope,) = torch.autograd.grad(logits[0, segment, slot, 5], latents, retain_graph=True)
            read = slope[0].abs().amax(-1) > 0
            assert read.tolist() == [place <= segment for place in range(4)]


def test_one_query_serves_all_segments_and_latents_have_mean_square_one() -> None:
    one = build(name="resampler")
    assert one.query.shape == (32,)
    tokens, segmentation = batch()
    mean = one.encode(tokens, segmentation).mean
    torch.testing.assert_close(
        mean.square().mean(-1), torch.ones_like(mean[..., 0]), atol=1e-5, rtol=0
    )


def test_latents_of_a_prompt_are_those_of_the_whole_text() -> None:
    one = build(name="resampler")
    tokens, segmentation = batch([[3, 3, 2, 3]])
    whole = one.encode(tokens, segmentation).mean
    prompt = TokenBatch(tokens.tokens[:, :8], torch.tensor([8]), torch.tensor([False]))
    alone = one.encode(prompt, Segmentation(torch.tensor([[3, 3, 2]]))).mean
    torch.testing.assert_close(alone, whole[:, :3], atol=1e-12, rtol=0)


def test_dropped_channels_are_zero_and_the_others_stay_as_they_are() -> None:
    one = build(name="resampler", latent_dropout=0.3)
    sample = torch.randn(4, 200, 4, dtype=torch.float64)
    dropped = one._disturbed(sample, Noise(3, 0))
    zero = dropped == 0
    assert torch.equal(dropped[~zero], sample[~zero])
    assert zero.double().mean() == pytest.approx(0.3, abs=0.05)  # 3200 draws: std 0.008


def test_hidden_tokens_are_not_read_and_still_have_to_be_told() -> None:
    one = build(name="resampler", token_dropout=0.5, latent_dropout=0.0)
    tokens, segmentation = batch()
    seen: list[torch.Tensor] = []
    one.embedding.register_forward_pre_hook(lambda _, grids: seen.append(grids[0]))
    encoding = one.losses(tokens, segmentation, noise())
    grid, held = segmentation.slots(tokens.tokens, SLOTS)
    hidden = held & (seen[0] == VOCABULARY.mask)
    assert 0 < hidden.sum() < held.sum()
    assert torch.equal(seen[0][held & ~hidden], grid[held & ~hidden])
    assert (seen[0][~held] == one.end_of_segment).all()
    logits = one.decode(encoding.sample)
    target = torch.where(held, grid, SIZE)
    # Every token counts, and the end of each short segment.
    ends = (segmentation.lengths > 0) & (segmentation.lengths < SLOTS)
    counted = held.clone()
    counted |= ends[..., None] & (torch.arange(SLOTS) == segmentation.lengths[..., None])
    nats = torch.nn.functional.cross_entropy(logits[counted], target[counted], reduction="sum")
    torch.testing.assert_close(encoding.losses["realisation"].total, nats)


def test_without_dropout_training_reads_what_is_encoded_afterwards() -> None:
    one = build(name="resampler", token_dropout=0.0)
    tokens, segmentation = batch(LENGTHS)
    encoding = one.losses(tokens, segmentation, noise())
    assert torch.equal(encoding.sample, one.encode(tokens, segmentation).mean)


def test_it_learns_to_reconstruct_unseen_text() -> None:
    torch.manual_seed(0)
    sizes = {"vocabulary": VOCABULARY, "max_segment_tokens": SLOTS, "latent_dim": 12}
    shape = {"width": 32, "heads": 4, "embedding_dim": 8, "latent_dropout": 0.0}
    layers = {"encoder_layers": 1, "decoder_layers": 1}
    one = colaflex.build("representation", "resampler", **sizes, **shape, **layers)
    trained(one, steps=150, choices=[[3, 3], [2, 3]])
    tokens, segmentation = batch([[3, 3], [2, 3]] * 32, seed=1)
    with torch.no_grad():
        best = one.decode(one.encode(tokens, segmentation).mode()).argmax(-1)
    grid, held = segmentation.slots(tokens.tokens, SLOTS)
    assert (best == grid)[held].double().mean() > 0.5  # chance: 1 / 11
