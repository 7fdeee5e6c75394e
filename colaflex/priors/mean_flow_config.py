"""Config of the mean-flow prior. Imports no torch."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from colaflex.priors.average_velocity_config import AverageVelocityConfig
from colaflex.priors.path_config import Schedule

__all__ = ["MeanFlowConfig"]


class MeanFlowConfig(AverageVelocityConfig):
    """Average velocities by the identity that ties them to the velocity and a derivative."""

    pair_schedule: Schedule = Field(
        Schedule(distribution="uniform"),
        description="Law of both ends of a step, t the larger; `schedule` is that of flow "
        "matching. One step from noise to data is at the corner of both.",
    )
    derivative: Literal["jvp", "finite_difference"] = Field(
        "jvp",
        description="How the derivative along the path is taken: exactly, by forward-mode "
        "differentiation, or from two points nearby, which any network allows.",
    )
    difference_step: float = Field(
        0.005,
        gt=0,
        le=0.1,
        description="Half the distance in t of those two points (finite differences only).",
    )
    time_scale: float = Field(
        0.001,
        gt=0,
        le=1,
        description="Factor on the times that the network sees; 1/1000 undoes the scale of the "
        "usual sinusoidal features, of which fast ones make the derivative large and noisy "
        "(no unit).",
    )
    weight_power: float = Field(
        1.0,
        ge=0,
        le=2,
        description="Power p of the adaptive weight 1 / (e + offset)^p, e the mean squared error "
        "of a block; 0 is none. A block of few channels in all wants less: there the weight "
        "prefers small errors that are small by chance (no unit).",
    )
    weight_offset: float = Field(
        0.01,
        gt=0,
        le=100,
        description="Offset in the adaptive weight (squared latent units).",
    )

    @model_validator(mode="after")
    def _network_differentiates_forward(self) -> Self:
        forward: Any = self.network.capabilities().forward_ad
        if self.derivative == "jvp" and not forward:
            raise ValueError(
                f"the network {self.network.type} can't be differentiated in forward mode; set "
                "derivative: finite_difference"
            )
        return self
