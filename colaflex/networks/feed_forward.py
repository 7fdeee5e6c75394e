"""Gated feed-forward layer (SwiGLU; Shazeer, 2020, https://arxiv.org/abs/2002.05202)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

__all__ = ["FeedForward"]


class FeedForward(nn.Module):
    """down(silu(gate(x)) · up(x)), without biases."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.gate_up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> (..., width)."""
        gate, up = self.gate_up(x).chunk(2, -1)
        out: Tensor = self.down(functional.silu(gate) * up)
        return out

    @staticmethod
    def hidden_width(width: int, ratio: float) -> int:
        """Hidden channels that cost what a two-matrix layer of `ratio` times the width does."""
        return max(8, round(width * ratio * 2 / 3 / 8) * 8)
