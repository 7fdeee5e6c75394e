"""Config of the consistency prior. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from colaflex.interfaces.capabilities import PriorCapabilities
from colaflex.priors.path_config import PathPriorConfig, Schedule

__all__ = ["ConsistencyConfig"]


class ConsistencyConfig(PathPriorConfig):
    """A map from any point of a path to its end at the data, the same along the whole path."""

    schedule: Schedule = Field(
        Schedule(distribution="uniform"),
        description="Law of the training times, a teacher's included; sampling begins at t = 1, "
        "where logit-normal times seldom look.",
    )
    mode: Literal["training", "distillation"] = Field(
        "training",
        description="Whose paths: training, the straight ones between noise and data, with no "
        "teacher; distillation, those of a teacher's flow.",
    )
    teacher: Path | Literal["none"] = Field(
        "none",
        description="Run folder whose prior is the teacher of distillation, or none: the prior "
        "first trains its own within training.teacher_fraction of its budget.",
    )
    teacher_guidance: float = Field(
        1.0,
        ge=0,
        le=1000,
        description="Guidance of the teacher's flow, only in distillation; what it adds is "
        "learned, so that sampling needs less of its own. 1 is off (no unit).",
    )
    doublings: int = Field(
        8,
        ge=0,
        le=24,
        description="How often in the course of training the compared points draw nearer to each "
        "other, to half their distance each time (ECT).",
    )
    widening: float = Field(
        8.0,
        ge=0,
        le=100,
        description="How much further apart, at most, they are near the data than near the noise: "
        "the k of σ · (1 + k · sigmoid(-σ)) / 2^(1 + doublings so far), with σ = t / (1 - t) "
        "(no unit).",
    )
    huber_width: float = Field(
        0.03,
        ge=0,
        le=10,
        description="Difference at which the loss turns from squared to linear (latent units).",
    )

    @model_validator(mode="after")
    def _only_distillation_has_a_teacher(self) -> Self:
        if self.mode == "training" and self.teacher != "none":
            raise ValueError("a teacher needs mode: distillation")
        if self.mode == "training" and self.teacher_guidance != 1:
            raise ValueError("teacher_guidance needs mode: distillation")
        return self

    def capabilities(self) -> PriorCapabilities:
        """Useful from one step on; distillation needs a teacher."""
        return PriorCapabilities(
            likelihood="none",
            fewest_steps=1,
            guidance=True,
            needs_teacher=self.mode == "distillation",
            readout=True,
            history=True,
        )
