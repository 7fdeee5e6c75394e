"""A stage's objective as a module, which is what DDP, FSDP2 and torch.compile wrap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from colaflex.interfaces.language_model import Stage, StageStep
from colaflex.interfaces.values import TokenBatch

__all__ = ["Precision", "StageLoss"]

Precision = Literal["fp32", "bf16"]


class StageLoss(nn.Module):
    """The objective sum_k weight_k · total_k / count_k of a stage.

    The model is a submodule so that a wrapper finds its parameters; the stage's own functions do
    the work.
    """

    def __init__(self, model: nn.Module, stage: Stage, precision: Precision = "fp32") -> None:
        super().__init__()
        self.model = model
        self._losses = stage.losses
        self._bf16 = precision == "bf16"

    def forward(
        self, batch: TokenBatch, step: StageStep, divisors: Mapping[str, int | Tensor]
    ) -> tuple[Tensor, tuple[str, ...], Tensor]:
        """The objective, and its terms for the record.

        Args:
            batch: a prepared batch, or one share of it.
            step: where the stage stands.
            divisors: counts of the whole batch by unit, none of them 0.

        Returns:
            The objective; names of the terms and of the whole; their values, without gradient.
        """
        with torch.autocast(batch.tokens.device.type, torch.bfloat16, enabled=self._bf16):
            terms = self._losses(batch, step)
        means = {name: term.total / divisors[term.per] for name, term in terms.items()}
        weighted = [term.weight * means[name] for name, term in terms.items() if term.weight]
        objective = torch.stack(weighted).sum()
        # The whole comes last, so that a term that is not finite is named before it.
        names = (*(f"loss.{name}" for name in means), "loss")
        values = torch.stack([value.detach().float() for value in (*means.values(), objective)])
        return objective, names, values
