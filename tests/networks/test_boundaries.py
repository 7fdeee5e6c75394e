"""Learned boundaries in what is made of segments: smoothing, and the gradient of decisions."""

from __future__ import annotations

import pytest
import torch

from colaflex.interfaces.values import Segmentation
from colaflex.networks.boundaries import LIMIT, confident, smoothed


def case(segments: int = 9, tokens: int = 30) -> tuple[torch.Tensor, Segmentation]:
    draws = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, 4, (3, segments), generator=draws)
    lengths[1, 5:] = 0
    p = torch.rand(3, tokens, generator=draws, dtype=torch.float64).requires_grad_()
    vectors = torch.randn(3, segments, 4, generator=draws, dtype=torch.float64)
    return vectors, Segmentation(lengths, p)


@pytest.mark.parametrize("segments", [1, 2, 7, 8, 9])
def test_smoothing_is_the_recurrence(segments: int) -> None:
    vectors, segmentation = case(segments)
    found, p = smoothed(vectors, segmentation), segmentation.boundary_probability
    assert p is not None
    for row in range(3):
        before = torch.zeros(4, dtype=torch.float64)
        for j in range(int(segmentation.count[row])):
            chance = p[row, segmentation.starts[row, j]].item()
            # A boundary against the scorer's will counts as certain.
            chance = min(chance, 1 - LIMIT) if chance >= 0.5 else 1 - LIMIT
            before = chance * vectors[row, j] + (1 - chance) * before
            torch.testing.assert_close(found[row, j], before, atol=1e-12, rtol=0)


def test_smoothing_looks_at_nothing_later_and_teaches_the_boundaries() -> None:
    vectors, segmentation = case()
    moved = vectors.clone()
    moved[:, 4:] += 1
    one, other = smoothed(vectors, segmentation), smoothed(moved, segmentation)
    assert torch.equal(one[:, :4], other[:, :4])
    assert (one[:, 4] != other[:, 4]).any()
    one[segmentation.mask].square().sum().backward()
    p = segmentation.boundary_probability
    assert p is not None
    assert p.grad is not None
    begins = torch.zeros_like(p, dtype=torch.bool).scatter_(
        1, segmentation.starts.clamp(max=29), segmentation.mask
    )
    assert torch.equal(p.grad != 0, begins & (p >= 0.5) & (p <= 1 - LIMIT))


def test_confidence_changes_no_state_but_carries_a_gradient() -> None:
    _, segmentation = case()
    p = segmentation.boundary_probability
    assert p is not None
    states = torch.randn(3, 30, 4, dtype=torch.float64)
    heard = confident(states, segmentation)
    assert torch.equal(heard, states)
    heard.sum().backward()
    sign = torch.where(p >= 0.5, 1.0, -1.0)
    torch.testing.assert_close(p.grad, sign * states.sum(-1))


def test_without_probabilities_nothing_happens() -> None:
    vectors, segmentation = case()
    plain = Segmentation(segmentation.lengths)
    assert smoothed(vectors, plain) is vectors
    assert confident(vectors, plain) is vectors
