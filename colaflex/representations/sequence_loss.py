"""A segment's tokens told together rather than one by one.

Reference:
    AlphaDLM (2026): L_k = (1 - exp(k s)) / k with s the mean log-probability of the targets.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["sequence_loss"]


def sequence_loss(nats: Tensor, counted: Tensor, alpha: float) -> Tensor:
    """Sum over segments of m (1 - exp(-k c)) / k, c being the mean cross-entropy of m targets.

    Its gradient is that of the cross-entropy, times exp(-k c) for every segment: a segment that is
    told well counts, one that can't be told is given up. Where slots are independent given the
    latent, k > 1 settles on texts that occur where the cross-entropy mixes their parts. k to 0 is
    the cross-entropy.

    Args:
        nats: (n,) cross-entropy of the targets, in the order of `counted`.
        counted: (batch, segments, slots) bool, the n slots that have a target.
        alpha: k > 0.

    Returns:
        Scalar, in nats a token as k goes to 0, otherwise below that.

    Example:
        >>> counted = torch.tensor([[[True, True], [True, False]]])
        >>> sequence_loss(torch.tensor([0.5, 1.5, 2.0]), counted, alpha=1.0)
        tensor(2.1289)
    """
    laid = nats.new_zeros(counted.shape).masked_scatter(counted, nats)
    targets = counted.sum(-1).to(nats.dtype)
    mean = laid.sum(-1) / targets.clamp(min=1)
    return (targets * -torch.expm1(-alpha * mean)).sum() / alpha
