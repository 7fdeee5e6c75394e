"""Config of the rectified-flow prior. Imports no torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from colaflex.interfaces.capabilities import PriorCapabilities
from colaflex.priors.flow_config import Schedule
from colaflex.priors.flow_matching_config import FlowMatchingConfig

__all__ = ["RectifiedFlowConfig"]


class RectifiedFlowConfig(FlowMatchingConfig):
    """Flow matching, then reflow: straight paths along the couplings of a frozen teacher."""

    teacher: Path | Literal["none"] = Field(
        "none",
        description="Run folder whose prior is the teacher, or none: the prior first trains its "
        "own within training.teacher_fraction of its budget.",
    )
    teacher_steps: int = Field(
        8, ge=1, le=1024, description="Solver intervals by which the teacher makes its pairs."
    )
    teacher_guidance: float = Field(
        1.0,
        ge=0,
        le=1000,
        description="Guidance by which the teacher makes its pairs; what it adds is learned, so "
        "that sampling needs less of its own. 1 is off (no unit).",
    )
    reflow_schedule: Schedule = Field(
        Schedule(distribution="uniform"),
        description="Law of the training times once the teacher rests: few steps need the field "
        "near pure noise as well.",
    )

    def capabilities(self) -> PriorCapabilities:
        """As flow matching, and it needs a teacher."""
        return replace(super().capabilities(), needs_teacher=True)
