"""Config of the normalizing-flow prior. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from colaflex.interfaces.capabilities import PriorCapabilities
from colaflex.priors.causal_state_config import CausalStateConfig

__all__ = ["NormalizingFlowConfig"]


class NormalizingFlowConfig(CausalStateConfig):
    """A normalizing flow over the channels of one latent, given all latents before it."""

    transform: Literal["spline", "affine"] = Field(
        "spline",
        description="How a channel is bent: a rational-quadratic spline on [-5, 5], or an affine "
        "map.",
    )
    transforms: int = Field(
        4, ge=1, le=64, description="Such transforms, behind a first affine one."
    )
    channels: Literal["coupling", "autoregressive"] = Field(
        "coupling",
        description="What a channel is conditioned on besides the state: the other half of the "
        "channels, or all before it, which samples one channel at a time.",
    )
    hidden_width: int = Field(
        256, ge=4, le=16384, description="Hidden units of the networks that set the transforms."
    )
    bins: int = Field(8, ge=2, le=256, description="Bins of a spline.")

    def capabilities(self) -> PriorCapabilities:
        """Exact likelihood, one latent after the other, no guidance."""
        return PriorCapabilities(
            likelihood="exact", guidance=False, order="latent", maximum_likelihood=True
        )
