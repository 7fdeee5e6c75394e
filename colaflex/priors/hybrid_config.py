"""Config of the hybrid prior. Imports no torch."""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from colaflex.interfaces.capabilities import PriorCapabilities
from colaflex.priors.flow_config import FlowPriorConfig

__all__ = ["HybridConfig"]


class HybridConfig(FlowPriorConfig):
    """A code out of a learned codebook for each latent, and a flow for what it leaves."""

    codes: int = Field(256, ge=2, le=65536, description="Entries of the codebook.")
    code_layers: int = Field(
        2,
        ge=1,
        le=64,
        description="Layers of the causal transformer over the codes of a block; it is as wide as "
        "the network, whose state it reads.",
    )
    code_weight: float = Field(
        1.0,
        gt=0,
        le=1000,
        description="Weight of the codes' negative log probability, in nats over the channels of a "
        "latent, beside the flow's loss (no unit).",
    )

    def capabilities(self) -> PriorCapabilities:
        """As the base, without a readout: what the flow samples are residuals, not latents."""
        return replace(super().capabilities(), readout=False)
