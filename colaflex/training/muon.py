"""Muon, multiplied in a precision that the hardware has, and of whole matrices where sharded."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from colaflex.training.distributed import gather, scatter_like

__all__ = ["Muon", "orthogonalised"]


class Muon(torch.optim.Muon):
    """torch's Muon, which multiplies in bf16 alone and leaves sharding to its operands.

    Updates have AdamW's size (Liu et al., 2025), so that one learning rate serves both.

    Args:
        params: matrices, or groups of them.
        dtype: of the products of the orthogonalisation.
        options: torch's.
    """

    def __init__(self, params: ParamsT, dtype: torch.dtype, **options: Any) -> None:
        super().__init__(params, adjust_lr_fn="match_rms_adamw", **options)
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step of every matrix that has a gradient (collective where they are sharded)."""
        del closure  # of losses that are computed again, which nothing here asks for
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step(parameter, parameter.grad, group)

    def _step(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state, momentum = self.state[parameter], group["momentum"]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        average = state["momentum_buffer"].lerp_(gradient, 1 - momentum)
        direction = gather(gradient.lerp(average, momentum) if group["nesterov"] else average)
        update = orthogonalised(
            direction.to(self.dtype), group["ns_coefficients"], group["ns_steps"], group["eps"]
        )
        rate = 0.2 * group["lr"] * math.sqrt(max(parameter.shape))
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(scatter_like(update.to(parameter.dtype), parameter), alpha=-rate)


def orthogonalised(
    matrix: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float
) -> Tensor:
    """U f(S) Vᵀ of a matrix U S Vᵀ, f(S) near 1, in the matrix's own precision.

    f is the odd polynomial a s + b s³ + c s⁵, so many times, of S over its Frobenius norm; by
    Newton-Schulz iteration (Jordan et al., 2024).
    """
    a, b, c = coefficients
    wide = matrix.shape[0] <= matrix.shape[1]
    result = matrix if wide else matrix.T
    result = result / result.norm().clamp(min=eps)
    for _ in range(steps):
        gram = result @ result.T
        result = torch.addmm(result, torch.addmm(gram, gram, gram, beta=b, alpha=c), result, beta=a)
    return result if wide else result.T
