"""Config of the flow-matching prior. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from colaflex.interfaces.capabilities import PriorCapabilities
from colaflex.priors.flow_config import FlowPriorConfig

__all__ = ["FlowMatchingConfig"]


class FlowMatchingConfig(FlowPriorConfig):
    """Conditional flow matching on straight paths between noise and latents."""

    divergence: Literal["hutchinson", "exact"] = Field(
        "hutchinson",
        description="How log densities get the velocity's divergence: an unbiased estimate from "
        "one random direction, or exactly, at one backward pass a channel of a block.",
    )
    likelihood_steps: int = Field(
        32,
        ge=1,
        le=10_000,
        description="Runge-Kutta intervals of a log density, four network evaluations each.",
    )

    def capabilities(self) -> PriorCapabilities:
        """A likelihood along the ODE, guidance by empty history, blocks in order."""
        return PriorCapabilities(likelihood="ode", readout=True, history=True, estimates=True)
