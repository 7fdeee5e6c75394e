"""Rotary position embedding (Su et al., 2021, https://arxiv.org/abs/2104.09864)."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["rotary_table", "rotate"]


def rotary_table(positions: Tensor, head_dim: int, theta: float, dtype: torch.dtype) -> Tensor:
    """Unit complex numbers by which channel pairs turn at each position.

    Args:
        positions: (..., positions) integers.
        head_dim: channels of a head, even.
        theta: base of the wavelengths.
        dtype: real dtype of the rotation, float32 or float64.

    Returns:
        (..., positions, head_dim / 2) complex.
    """
    exponent = torch.arange(0, head_dim, 2, device=positions.device, dtype=torch.float64)
    angle = positions[..., None].double() * theta ** (-exponent / head_dim)
    return torch.polar(torch.ones_like(angle), angle).to(
        torch.complex128 if dtype == torch.float64 else torch.complex64
    )


def rotate(x: Tensor, table: Tensor) -> Tensor:
    """Turn the channel pairs of `x`.

    Args:
        x: (..., positions, head_dim), float32 or float64.
        table: from `rotary_table`, broadcastable to `x`.
    """
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * table).flatten(-2)
