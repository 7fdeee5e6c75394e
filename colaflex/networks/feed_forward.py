"""Gated feed-forward layer (SwiGLU; Shazeer, 2020, https://arxiv.org/abs/2002.05202)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from colaflex.networks.recompute import recomputed

__all__ = ["FeedForward"]


class FeedForward(nn.Module):
    """down(silu(gate(x)) · up(x)), without biases.

    Example:
        >>> layer = FeedForward(width=32, hidden=FeedForward.hidden_width(32, ratio=4.0))
        >>> layer(torch.zeros(2, 6, 32)).shape
        torch.Size([2, 6, 32])
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.gate_up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> (..., width)."""
        return self.narrow(self.gate_up(x))

    def narrow(self, gate_up: Tensor) -> Tensor:
        """The second half, from both hidden layers side by side, (..., 2 · hidden)."""
        return recomputed(self._gated, gate_up)

    def _gated(self, gate_up: Tensor) -> Tensor:
        gate, up = gate_up.chunk(2, -1)
        out: Tensor = self.down(functional.silu(gate) * up)
        return out

    @staticmethod
    def hidden_width(width: int, ratio: float) -> int:
        """Hidden channels that cost what a two-matrix layer of `ratio` times the width does."""
        return max(8, round(width * ratio * 2 / 3 / 8) * 8)
