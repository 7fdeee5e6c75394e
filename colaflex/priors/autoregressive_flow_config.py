"""Config of the autoregressive-flow prior. Imports no torch."""

from __future__ import annotations

from pydantic import Field

from colaflex.interfaces.capabilities import PriorCapabilities
from colaflex.priors.causal_state_config import CausalStateConfig

__all__ = ["AutoregressiveFlowConfig"]


class AutoregressiveFlowConfig(CausalStateConfig):
    """Affine flows across the latents of a block, by turns from its front and from its end."""

    flows: int = Field(
        4, ge=1, le=64, description="Affine flows, each a causal transformer over the block."
    )
    flow_layers: int = Field(2, ge=1, le=256, description="Transformer layers of each flow.")
    pinned_blocks: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Share of blocks of which a random prefix is given clean in training, as the "
        "tail of a prompt is when sampling.",
    )

    def capabilities(self) -> PriorCapabilities:
        """Exact likelihood, blocks in order, no guidance."""
        return PriorCapabilities(
            likelihood="exact", guidance=False, order="block", maximum_likelihood=True
        )
