"""Cheap intermediate values are computed again in the backward pass instead of being kept."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

__all__ = ["recomputed"]


def recomputed(function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """function(*inputs), keeping only the inputs for the backward pass.

    Worth it for elementwise work, and for elementwise work before one matrix product: the
    computation is repeated only as far as the last kept value, so the product is not.

    Args:
        function: differentiable, without randomness.
        inputs: its tensors.
    """
    if not torch.is_grad_enabled():
        return function(*inputs)
    out: Tensor = checkpoint(function, *inputs, use_reentrant=False, preserve_rng_state=False)
    return out
