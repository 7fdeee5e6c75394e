"""How learned boundaries take part in the segments' vectors, so that losses teach them.

References:
    H-Net (Hwang, Wang and Gu, 2025), section 2.2: confidence by a straight-through estimator, and
    the smoothing that undoes uncertain boundaries, https://arxiv.org/abs/2507.07955.
"""

from __future__ import annotations

import torch
from torch import Tensor

from colaflex.interfaces.values import Segmentation

__all__ = ["confident", "smoothed"]

LIMIT = 1e-4
"""Probabilities stay as far from 0 and 1 in the smoothing."""


def confident(states: Tensor, segmentation: Segmentation) -> Tensor:
    """The states as they are, with a gradient to the boundary probabilities.

    c_i = max(p_i, 1 - p_i), the confidence of the decision at token i; the states are multiplied by
    it in the backward pass, and by 1 in the forward pass.

    Args:
        states: (batch, tokens, width).
        segmentation: with probabilities, else nothing is done.
    """
    p = segmentation.boundary_probability
    if p is None:
        return states
    confidence = torch.maximum(p, 1 - p)
    return states * (1 + (confidence - confidence.detach()))[..., None].to(states)


def smoothed(vectors: Tensor, segmentation: Segmentation) -> Tensor:
    """m_j = P_j e_j + (1 - P_j) m_(j-1): an uncertain boundary leaves much as it was before.

    P_j is the probability of the boundary at segment j's first token. A boundary that was set
    without the scorer's will (forced, or as a segment was full; p < 1/2) counts as certain.

    Args:
        vectors: (batch, segments, width), one a segment.
        segmentation: with probabilities, else nothing is done.
    """
    p = segmentation.boundary_probability
    if p is None:
        return vectors
    at = segmentation.starts.clamp(max=p.shape[1] - 1)
    p = p.gather(1, at)
    p = torch.where(p < 0.5, 1.0, p).clamp(LIMIT, 1 - LIMIT)[..., None].to(vectors)
    return _recurrence(1 - p, p * vectors)


def _recurrence(decay: Tensor, given: Tensor) -> Tensor:
    """m_j = decay_j m_(j-1) + given_j along dim 1, by doubling: log2(segments) steps.

    Two steps of it are one of the same form, and so on. Decays are at most 1/2: their products fade
    to 0, nothing is ever divided by them.
    """
    step = 1
    while step < given.shape[1]:
        head, more = given[:, :step], given[:, step:] + decay[:, step:] * given[:, :-step]
        given = torch.cat([head, more], 1)
        decay = torch.cat([decay[:, :step], decay[:, step:] * decay[:, :-step]], 1)
        step *= 2
    return given
