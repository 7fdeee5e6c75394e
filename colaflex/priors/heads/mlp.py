"""A residual MLP with AdaLN-zero, conditioned on a vector.

References:
    Autoregressive Image Generation without Vector Quantization (MAR; Li et al., 2024), section 3.4,
    https://arxiv.org/abs/2406.11838.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["ConditionedMLP"]


class _Layer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.modulation = nn.Linear(width, 3 * width)
        self.up, self.down = nn.Linear(width, width), nn.Linear(width, width)
        # AdaLN-zero: every layer starts as the identity.
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        shift, scale, gate = self.modulation(condition).chunk(3, -1)
        h = torch.addcmul(shift, functional.rms_norm(x, x.shape[-1:], eps=1e-6), 1 + scale)
        return torch.addcmul(x, gate, self.down(functional.silu(self.up(h))))


class ConditionedMLP(nn.Module):
    """(..., inputs) and a condition (..., width) -> (..., outputs)."""

    def __init__(self, inputs: int, outputs: int, width: int, layers: int) -> None:
        super().__init__()
        self.lift = nn.Linear(inputs, width)
        self.layers = nn.ModuleList(_Layer(width) for _ in range(layers))
        self.output = nn.Linear(width, outputs)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """The output, under the condition of each position."""
        hidden, condition = self.lift(x), functional.silu(condition)
        for layer in self.layers:
            hidden = layer(hidden, condition)
        out: Tensor = self.output(functional.rms_norm(hidden, hidden.shape[-1:], eps=1e-6))
        return out

    def flops(self, positions: int) -> int:
        """Model FLOPs of one forward pass."""
        return 2 * positions * sum(p.numel() for p in self.parameters() if p.dim() == 2)
