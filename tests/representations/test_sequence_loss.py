"""Segments told together: the loss's closed forms, and what a factorised decoder settles on."""

from __future__ import annotations

import math

import pytest
import torch
from segments import LENGTHS, SLOTS, batch, build, noise
from torch.nn import functional

from colaflex.representations.sequence_loss import sequence_loss

COUNTED = torch.tensor([[[True, True, False], [True, False, False], [False, False, False]]])


def test_it_is_the_sum_over_segments_of_their_targets_share() -> None:
    nats = torch.tensor([0.5, 1.5, 2.0], dtype=torch.float64)
    found = sequence_loss(nats, COUNTED, alpha=3.0)
    assert found.item() == pytest.approx(2 * (1 - math.exp(-3)) / 3 + (1 - math.exp(-6)) / 3)


def test_its_gradient_is_the_cross_entropys_times_a_segments_probability() -> None:
    nats = torch.tensor([0.5, 1.5, 2.0], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(sequence_loss(nats, COUNTED, alpha=1.5), nats)
    expected = [math.exp(-1.5), math.exp(-1.5), math.exp(-3)]
    assert slope.tolist() == pytest.approx(expected)


def test_a_small_alpha_is_the_cross_entropy() -> None:
    tokens, segmentation = batch(LENGTHS)
    plain, together = build(), build(alpha=1e-7)
    nats = plain.losses(tokens, segmentation, noise()).losses["realisation"].total
    found = together.losses(tokens, segmentation, noise()).losses["realisation"].total
    torch.testing.assert_close(found, nats, rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", ["text_vae", "text_ae", "resampler"])
def test_representations_learn_from_it_over_tokens_and_ends_of_segments(name: str) -> None:
    options = {"latent_dropout": 0.0, "decoder_noise": 0.0, "alpha": 2.0}
    one = build(name=name, **options)
    tokens, segmentation = batch(LENGTHS)
    encoding = one.losses(tokens, segmentation, noise())
    logits = one.decode(encoding.sample).log_softmax(-1).detach()
    grid, held = segmentation.slots(tokens.tokens, SLOTS)
    total = 0.0
    for row, lengths in enumerate(LENGTHS):
        for segment, length in enumerate(lengths):
            said = [logits[row, segment, s, grid[row, segment, s]] for s in range(length)]
            if 0 < length < SLOTS:
                said.append(logits[row, segment, length, one.end_of_segment])
            if said:
                mean = torch.stack(said).mean()
                total += float(len(said) * (1 - torch.exp(2 * mean)) / 2)
    assert int(held.sum()) == sum(map(sum, LENGTHS))
    assert encoding.losses["realisation"].total.item() == pytest.approx(total)


@pytest.mark.parametrize(("alpha", "mixed"), [(0.0, 0.5), (0.5, 0.5), (1.5, 0.0)])
def test_of_two_texts_behind_one_latent_a_larger_alpha_tells_one_unmixed(
    alpha: float, mixed: float
) -> None:
    """AB and CD, as often as each other; slots know nothing of each other.

    With a = p(A) = p(B) the loss is, but for constants, -(a^k + (1 - a)^k) / k: from k = 1 its
    minimum is at the ends.
    """
    target = torch.tensor([[0, 1], [2, 3]])
    counted = torch.ones(1, 2, 2, dtype=torch.bool)
    # The cross-entropy's best, but for a nudge, and nothing else said.
    logits = torch.tensor([[0.02, -9.0, 0.0, -9.0], [-9.0, 0.02, -9.0, 0.0]], requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.05)
    for _ in range(300):
        nats = functional.cross_entropy(logits.repeat(2, 1), target.flatten(), reduction="none")
        loss = sequence_loss(nats, counted, alpha) if alpha else nats.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    p = logits.detach().softmax(-1)
    assert (p[0, 0] * p[1, 3] + p[0, 2] * p[1, 1]).item() == pytest.approx(mixed, abs=0.01)
