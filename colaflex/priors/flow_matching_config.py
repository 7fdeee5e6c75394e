"""Config of the flow-matching prior. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from colaflex.interfaces.capabilities import PriorCapabilities
from colaflex.interfaces.search import SearchRange
from colaflex.priors.flow_config import FlowPriorConfig

__all__ = ["FlowMatchingConfig", "SelfConditioning"]


class SelfConditioning(BaseModel):
    """The network reads an estimate of the clean latents along with the noisy ones."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    share: Annotated[float, SearchRange(choices=(0.0, 0.25, 0.5))] = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of the noisings at which training gives an estimate, at the cost of "
        "one more forward pass; 0 is off.",
    )
    perturbed: bool = Field(
        False,
        description="Whether that estimate is made at more noise, as by the sampler's step before; "
        "for samplers of few steps.",
    )
    guidance: float = Field(
        1.0,
        ge=0,
        le=1000,
        description="g in g · with + (1 - g) · without an estimate when sampling; 1 is off (no "
        "unit).",
    )


class FlowMatchingConfig(FlowPriorConfig):
    """Conditional flow matching on straight paths between noise and latents."""

    self_conditioning: SelfConditioning = Field(
        SelfConditioning(), description="Whether the network reads an estimate of its own."
    )
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
