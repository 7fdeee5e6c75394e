"""Config base of flow-type priors. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from colaflex.interfaces.component import Slot
from colaflex.interfaces.configs import SolverConfig
from colaflex.priors.path_config import PathPriorConfig, Schedule

__all__ = ["FlowPriorConfig", "Schedule"]


class FlowPriorConfig(PathPriorConfig):
    """Shared base of priors that move noise to data along a learned velocity field."""

    solver: Annotated[SolverConfig, Slot("solver")] = Field(
        "euler", description="Integrator of the velocity field when sampling."
    )  # type: ignore[assignment]
    prediction: Literal["velocity", "x0"] = Field(
        "velocity", description="What the network predicts: eps - z0, or the clean latent z0."
    )
