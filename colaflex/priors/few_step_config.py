"""Configs of the priors that sample in few steps of any length. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from colaflex.interfaces.capabilities import PriorCapabilities
from colaflex.priors.flow_config import Guidance, Law, PathPriorConfig, Share

__all__ = ["AverageVelocityConfig", "ConsistencyConfig", "MeanFlowConfig", "ShortcutConfig"]


class ConsistencyConfig(PathPriorConfig):
    """A map from any point of a path to its end at the data, the same along the whole path."""

    schedule: Law = Field(
        "uniform",
        description="Law of the training times, a teacher's included; sampling begins at t = 1, "
        "where logit-normal times seldom look.",
    )  # type: ignore[assignment]
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
    teacher_guidance: Guidance = Field(
        1.0,
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
            guided_by_time=True,
            one_step=True,
        )


class AverageVelocityConfig(PathPriorConfig):
    """Shared base of priors whose network knows how far the next step goes."""

    self_taught: Share = Field(
        0.25,
        description="Share of rows in which the network learns steps of some length, its target "
        "made by itself; the others learn the velocity, by flow matching.",
    )

    taught_guidance: Guidance = Field(
        1.0,
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
            guided_by_time=True,
            one_step=True,
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


class ShortcutConfig(AverageVelocityConfig):
    """Steps of 1, 1/2, 1/4, ...; one is as long as the two of half its length that teach it."""

    halvings: int = Field(
        7,
        ge=1,
        le=20,
        description="How often the longest step is halved before a step counts as infinitely "
        "short; 7 is 128 steps.",
    )
    target_limit: float = Field(
        4.0,
        gt=0,
        le=1000,
        description="Largest magnitude of a self-made target, per channel (latent units).",
    )


class MeanFlowConfig(AverageVelocityConfig):
    """Average velocities by the identity that ties them to the velocity and a derivative."""

    pair_schedule: Law = Field(
        "uniform",
        description="Law of both ends of a step, t the larger; `schedule` is that of flow "
        "matching. One step from noise to data is at the corner of both.",
    )  # type: ignore[assignment]
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
        0.01, gt=0, le=100, description="Offset in the adaptive weight (squared latent units)."
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
