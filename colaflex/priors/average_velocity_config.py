"""Config base of priors that learn average velocities. Imports no torch."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from colaflex.interfaces.capabilities import PriorCapabilities
from colaflex.priors.path_config import PathPriorConfig

__all__ = ["AverageVelocityConfig"]


class AverageVelocityConfig(PathPriorConfig):
    """Shared base of priors whose network knows how far the next step goes."""

    self_taught: float = Field(
        0.25,
        ge=0,
        le=1,
        description="Share of rows in which the network learns steps of some length, its target "
        "made by itself; the others learn the velocity, by flow matching.",
    )

    taught_guidance: float = Field(
        1.0,
        ge=0,
        le=1000,
        description="Guidance that the self-made targets contain: sampling then needs none, and is "
        "refused any. 1 is off (no unit).",
    )

    def capabilities(self) -> PriorCapabilities:
        """No likelihood, blocks in order; guidance by empty history unless it was learned."""
        return PriorCapabilities(
            likelihood="none",
            fewest_steps=1,
            guidance=self.taught_guidance == 1,
            readout=True,
            history=True,
        )

    @model_validator(mode="after")
    def _guidance_needs_an_unconditional_branch(self) -> Self:
        if self.taught_guidance != 1 and not self.history_dropout:
            raise ValueError("taught_guidance needs a history_dropout above 0")
        return self

    @model_validator(mode="after")
    def _network_takes_two_times(self) -> Self:
        most: Any = self.network.capabilities().max_times
        if most is not None and most < 2:
            raise ValueError(f"the network {self.network.type} can't condition on two times")
        return self
