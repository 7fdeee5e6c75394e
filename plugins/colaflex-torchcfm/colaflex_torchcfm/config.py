"""Options of the coupling `torchcfm_ot`. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from colaflex.interfaces.configs import CouplingConfig

__all__ = ["TorchCFMTransportConfig"]


class TorchCFMTransportConfig(CouplingConfig):
    """Minibatch optimal transport."""

    method: Literal["exact", "sinkhorn"] = Field(
        "exact", description="The plan: a permutation of the rows, or Sinkhorn's entropic plan."
    )
    regularisation: float = Field(
        0.05,
        gt=0,
        le=1000,
        description="Weight of the plan's entropy, as a share of the largest cost; sinkhorn only.",
    )
