"""Learned boundaries: where states differ, at the target rate, and never by what comes later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import colaflex
from colaflex.errors import UserError
from colaflex.interfaces.values import Segmentation, TokenBatch, Vocabulary
from colaflex.spec import Spec

END, MASK, SIZE, WIDTH = 0, 1, 20, 6
VOCABULARY = Vocabulary(SIZE, end_of_text=END, mask=MASK)


def build(**options: Any) -> Any:
    torch.manual_seed(0)
    made = colaflex.build(
        "segmenter", "learned_boundary", width=WIDTH, vocabulary=VOCABULARY, **options
    )
    return made.double()


def batch(lengths: list[int], seed: int = 0) -> tuple[TokenBatch, Tensor]:
    """Random tokens, and random states that stand for their causal ones."""
    draws = torch.Generator().manual_seed(seed)
    count = torch.tensor(lengths)
    tokens = torch.randint(2, SIZE, (len(lengths), max(lengths)), generator=draws)
    tokens[torch.arange(max(lengths)) >= count[:, None]] = END
    states = torch.randn(*tokens.shape, WIDTH, generator=draws, dtype=torch.float64)
    return TokenBatch(tokens, count, torch.zeros(len(lengths), dtype=torch.bool)), states


def starts(segmentation: Segmentation, row: int) -> set[int]:
    found: list[int] = segmentation.starts[row][segmentation.mask[row]].tolist()
    return set(found)


def test_a_segment_begins_where_the_state_turns() -> None:
    segmenter = build(max_tokens=5)
    one, other = torch.eye(WIDTH, dtype=torch.float64)[:2]
    # W starts as the identity: p is 0 between equal states, 1/2 between orthogonal ones.
    states = torch.stack([one, one, -one, 2 * other, other, other, other, other, other, other])
    tokens, _ = batch([10])
    found = segmenter.segment(tokens, states[None])
    expected = torch.tensor([[1, 0, 1, 0.5, 0, 0, 0, 0, 0, 0]], dtype=torch.float64)
    torch.testing.assert_close(found.boundary_probability, expected, atol=1e-9, rtol=0)
    assert found.lengths.tolist() == [[2, 1, 5, 2]]  # the last one because it is full
    forced = torch.arange(10)[None] == 1
    marked = TokenBatch(tokens.tokens, tokens.lengths, tokens.complete, forced)
    assert segmenter.segment(marked, states[None]).lengths.tolist() == [[1, 1, 1, 5, 2]]


def test_fillers_are_segments_of_their_own() -> None:
    tokens, states = batch([9])
    tokens.tokens[0, 5:] = END
    states[:] = 1.0
    found = build().segment(tokens, states)
    assert starts(found, 0) == {0, 6, 7, 8}
    assert found.boundary_probability[0, 6:].tolist() == [1.0, 1.0, 1.0]


def test_settled_lengths_are_kept_and_get_their_probabilities() -> None:
    tokens, states = batch([7, 4])
    lengths = torch.tensor([[3, 3, 1], [4, 0, 0]])
    settled = TokenBatch(*(tokens.tokens, tokens.lengths, tokens.complete), segments=lengths)
    segmenter = build()
    found, free = segmenter.segment(settled, states), segmenter.segment(tokens, states)
    assert torch.equal(found.lengths, lengths)
    assert torch.equal(found.boundary_probability, free.boundary_probability)


def test_the_ratio_loss_pushes_towards_the_rate() -> None:
    segmenter = build(rate=0.25, max_tokens=4)
    tokens, states = batch([40])
    p = torch.full((1, 40), 0.3, dtype=torch.float64, requires_grad=True)
    gradient = {}
    for length in (2, 4, 8):
        cut = torch.full((1, 40 // length), length)
        terms = segmenter.losses(tokens, Segmentation(cut, p, states))
        n = 4
        # A row's first token is no choice; the rest has its share of it.
        f = (40 / length - 1) / 39
        expected = 39 * n / (n - 1) * ((1 - f) * 0.7 + (n - 1) * f * 0.3)
        assert terms["ratio"].total.item() == pytest.approx(expected)
        (gradient[length],) = torch.autograd.grad(terms["ratio"].total, p)
    # d/dp_i = N / (N - 1) (N F - 1): down above the target, up below it.
    for length, found in gradient.items():
        f = (40 / length - 1) / 39
        expected = torch.full_like(p, 4 / 3 * (4 * f - 1))
        expected[0, 0] = 0
        torch.testing.assert_close(found, expected, atol=1e-7, rtol=0)  # the rate is fp32


def test_the_level_moves_until_the_rate_is_met() -> None:
    segmenter = build(rate=0.3, max_tokens=16, next_token_weight=0.0)
    optimizer = torch.optim.Adam([segmenter.level], lr=1e-3)
    tokens, states = batch([60] * 8)

    def reached(tokens: TokenBatch, states: Tensor) -> float:
        return int(segmenter.segment(tokens, states).count.sum()) / int(tokens.lengths.sum())

    assert reached(tokens, states) > 0.45  # of random states every other pair is obtuse
    for _ in range(60):
        found = segmenter.segment(tokens, states)
        optimizer.zero_grad()
        (segmenter.losses(tokens, found)["threshold"].total / 480).backward()
        optimizer.step()
    assert reached(*batch([200] * 16, seed=1)) == pytest.approx(0.3, rel=0.1)


def test_losses_add_up_however_the_rows_are_split() -> None:
    segmenter = build()
    tokens, states = batch([12, 3, 9, 1])
    whole = segmenter.segment(tokens, states)
    whole = Segmentation(whole.lengths, whole.boundary_probability, states)
    parts = [
        segmenter.losses(tokens.rows(slice(a, b)), whole.rows(slice(a, b)))
        for a, b in ((0, 1), (1, 4))
    ]
    for name, term in segmenter.losses(tokens, whole).items():
        total = sum(part[name].total for part in parts)
        torch.testing.assert_close(total, term.total, atol=1e-9, rtol=1e-9)
    assert set(parts[0]) == {"ratio", "threshold", "boundary_rate", "next_token"}
    plain = build(next_token_weight=0.0)
    assert plain.head is None
    assert "next_token" not in plain.losses(tokens, whole)


def test_every_weight_learns_and_what_does_not_count_has_no_say() -> None:
    segmenter = build()
    tokens, states = batch([12, 5])
    found = segmenter.segment(tokens, states)
    found = Segmentation(found.lengths, found.boundary_probability, states)
    terms = segmenter.losses(tokens, found)
    sum(t.weight * t.total for t in terms.values()).backward()
    assert all(p.grad.abs().max() > 0 for p in segmenter.parameters())
    states[1, 5:] += 3.0
    moved = segmenter.segment(tokens, states)
    again = segmenter.losses(
        tokens, Segmentation(moved.lengths, moved.boundary_probability, states)
    )
    for name, term in terms.items():
        assert again[name].total.item() == pytest.approx(term.total.item(), abs=1e-12)


# With a model.

LEARNED = {"type": "learned_boundary", "max_tokens": 4, "rate": 0.4, "rate_weight": 1.0}


def test_it_trains_generates_and_is_frozen_with_its_prior(tiny: Path, tmp_path: Path) -> None:
    spec = Spec.load(tiny).override({"segmenter": LEARNED, "representation.token_layers": 1})
    result = colaflex.run(spec, tmp_path / "run")
    assert result["parameters"]["segmenter"] == 2 * 8 * 8 + 9 * 300 + 1
    lines = (tmp_path / "run/metrics.jsonl").read_text()
    assert '"loss.ratio"' in lines
    assert '"loss.next_token"' in lines
    assert 0 < result["metrics"]["reconstruction.token_accuracy"]["value"] <= 1
    model = colaflex.load(tmp_path / "run")
    alone = model.generate(["In the"], max_new_tokens=12, seed=1)[0]
    beside = model.generate(["And God said, Let", "In the"], max_new_tokens=12, seed=1)[1]
    assert alone == beside


def test_a_representation_without_token_states_is_refused(tiny: Path) -> None:
    with pytest.raises(UserError, match="text_vae has no causal token states"):
        Spec.load(tiny).override({"segmenter": LEARNED})
