"""Coarse latents: what they stand for, who sees whom, and what is learned of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from segments import SLOTS, batch, build, noise

from colaflex.interfaces.levels import levelled, spread
from colaflex.interfaces.values import Segmentation, TokenBatch

GROUP = 3
FINE = ([3, 3, 1, 2], [2, 3, 0, 0], [3, 3, 3, 3], [1, 0, 0, 0])


def case(forced: dict[int, int] | None = None, seed: int = 0) -> tuple[TokenBatch, Segmentation]:
    """Rows of two levels, in which a boundary is forced at a token of some rows."""
    tokens, fine = batch(FINE, seed)
    marks = torch.zeros_like(tokens.tokens, dtype=torch.bool)
    for row, at in (forced or {}).items():
        marks[row, at] = True
    both = levelled(spread(fine.lengths, GROUP), GROUP)
    return TokenBatch(tokens.tokens, tokens.lengths, tokens.complete, marks), both


def test_a_coarse_latent_stands_for_its_run_up_to_the_first_forced_boundary() -> None:
    made = build(group=GROUP)
    tokens, both = case()
    held = both.lengths > 0
    assert both.level[3].tolist() == [1, 0, 0, 0, 0, 0]
    assert torch.equal(made.levels.members(tokens, both), held)
    # Row 0: within the first run; row 2: where the second run begins, which cuts nothing off.
    tokens, both = case({0: 3, 2: 6})
    members = made.levels.members(tokens, both)
    expected = held.clone()
    expected[0, 2] = False
    assert torch.equal(members, expected)


@pytest.mark.parametrize("name", ["text_vae", "text_ae"])
@torch.no_grad()
def test_nothing_behind_a_run_or_a_forced_boundary_is_looked_at(name: str) -> None:
    made = build(name=name, group=GROUP)
    for forced, places, first in (({}, 3, (6, 5, 6)), ({0: 3, 1: 2, 2: 3}, 2, (3, 2, 3))):
        tokens, both = case(forced)
        before = made.encode(tokens, both).mean
        moved = tokens.tokens.clone()
        for row, at in enumerate(first):
            moved[row, at:] = (moved[row, at:] + 5) % 13
        other = TokenBatch(moved, tokens.lengths, tokens.complete, tokens.forced)
        after = made.encode(other, both).mean
        torch.testing.assert_close(after[:3, :places], before[:3, :places], atol=1e-12, rtol=0)
        assert (after[0, places:] - before[0, places:]).abs().amax() > 1e-6
    # All of its run is in a coarse latent, the last token as well.
    tokens, both = case()
    moved = tokens.tokens.clone()
    moved[0, 5] = (moved[0, 5] + 1) % 11 + 2
    after = made.encode(TokenBatch(moved, tokens.lengths, tokens.complete), both).mean
    assert (after[0, 0] - made.encode(tokens, both).mean[0, 0]).abs().max() > 1e-9


@torch.no_grad()
def test_decoded_piece_by_piece_equals_decoded_at_once() -> None:
    made = build(group=GROUP)
    latents = torch.randn(3, 7, made.latent_dim, dtype=torch.float64)
    whole, done, state = made.decode(latents), [0, 0, 0], made.begin_decoding(3)
    for counts in ([2, 0, 1], [0, 3, 1], [1, 1, 1], [4, 3, 4]):
        piece = torch.zeros(3, max(counts), made.latent_dim, dtype=torch.float64)
        for row, count in enumerate(counts):
            piece[row, :count] = latents[row, done[row] : done[row] + count]
        logits, state = made.decode_next(piece, state, torch.tensor(counts))
        for row, count in enumerate(counts):
            expected = whole[row, done[row] : done[row] + count]
            torch.testing.assert_close(logits[row, :count], expected, atol=1e-12, rtol=0)
            done[row] += count


def test_the_bag_of_tokens_is_the_cross_entropy_of_each_token_alone() -> None:
    made = build(group=GROUP)
    tokens, both = case({0: 3})
    grid, held = both.slots(tokens.tokens, SLOTS)
    members = made.levels.members(tokens, both)
    logits = torch.randn(4, 2, 13, dtype=torch.float64)
    expected = torch.zeros((), dtype=torch.float64)
    for row in range(4):
        for place in range(1, 6):
            if members[row, place]:
                for token in grid[row, place][held[row, place]]:
                    expected -= logits[row, place // GROUP].log_softmax(-1)[token]
    found = made.levels.bag(logits, grid, held & members[..., None])
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


def test_every_weight_learns_and_rows_add_up() -> None:
    made: Any = build(group=GROUP)
    tokens, both = case({0: 3})
    terms = made.losses(tokens, both, noise()).losses
    assert set(terms) == {"realisation", "rate", "masked", "coarse"}
    sum(t.weight * t.total for t in terms.values()).backward()
    idle = [n for n, p in made.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []
    parts = []
    for a, b in ((0, 1), (1, 4)):
        chosen = Segmentation(both.lengths[a:b], level=both.level[a:b])
        parts.append(made.losses(tokens.rows(slice(a, b)), chosen, noise(first=a)).losses)
    for name, term in terms.items():
        total = sum(part[name].total for part in parts)
        torch.testing.assert_close(total, term.total, atol=1e-9, rtol=0)


def test_coarse_places_have_no_tokens_to_be_read() -> None:
    made = build(group=GROUP, mask_weight=0.0)
    with torch.no_grad():
        made.unembedding.bias[made.end_of_segment] = -1000.0
    tokens, fine = batch([[3, 3, 3, 3]])
    both = levelled(spread(fine.lengths, GROUP), GROUP)
    one = type(noise())(7, 0, "test", 0, 1)
    # That a place holds nothing would cost a thousand nats.
    assert made.losses(tokens, both, one).losses["realisation"].total < 500
