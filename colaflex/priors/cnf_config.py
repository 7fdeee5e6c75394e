"""Config of the continuous-normalizing-flow prior. Imports no torch."""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from colaflex.interfaces.capabilities import PriorCapabilities
from colaflex.priors.flow_matching_config import FlowMatchingConfig

__all__ = ["CnfConfig"]


class CnfConfig(FlowMatchingConfig):
    """Continuous normalizing flow: a velocity field fitted by maximum likelihood."""

    warm_start: float = Field(
        0.8,
        ge=0,
        lt=1,
        description="Share of the prior's budget in which flow matching initialises the velocity; "
        "0 learns by likelihood from the start (no unit).",
    )
    likelihood_rate: float = Field(
        0.2,
        gt=0,
        le=1,
        description="Learning rate by likelihood after a warm start, as a share of the stage's.",
    )
    training_steps: int = Field(
        8,
        ge=1,
        le=1024,
        description="Runge-Kutta intervals of a training step's log densities, four network "
        "evaluations each.",
    )

    def capabilities(self) -> PriorCapabilities:
        """As flow matching, with which it only begins."""
        return replace(super().capabilities(), maximum_likelihood=True)
