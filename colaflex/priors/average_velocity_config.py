"""Config base of priors that learn average velocities. Imports no torch."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

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

    @model_validator(mode="after")
    def _network_takes_two_times(self) -> Self:
        most: Any = self.network.capabilities().max_times
        if most is not None and most < 2:
            raise ValueError(f"the network {self.network.type} can't condition on two times")
        return self
