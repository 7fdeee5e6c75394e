"""Configs of the flow-type priors, and of all that learn on paths. Imports no torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from colaflex.interfaces.capabilities import PriorCapabilities
from colaflex.interfaces.component import AbsentMeans, ComponentConfig, FormerOptions, Slot
from colaflex.interfaces.configs import PriorConfig, ScheduleConfig, SolverConfig
from colaflex.interfaces.search import SearchRange

__all__ = [
    "CnfConfig",
    "FlowMatchingConfig",
    "FlowPriorConfig",
    "Guidance",
    "HybridConfig",
    "Law",
    "PathPriorConfig",
    "RectifiedFlowConfig",
    "SelfConditioning",
    "Share",
    "Stagger",
    "Trajectory",
]


Share = Annotated[float, Field(ge=0, le=1)]
Guidance = Annotated[float, Field(ge=0, le=1000)]


FORMER_LAWS = FormerOptions("distribution", {"logit_normal": ("loc", "scale"), "uniform": ()})
"""How specs chose a schedule before it was a component."""

Law = Annotated[ScheduleConfig, Slot("schedule", FORMER_LAWS)]


class PathPriorConfig(PriorConfig):
    """Shared base of priors that learn on straight paths between noise and latents."""

    network: Annotated[ComponentConfig, Slot("network")] = Field(
        "block_causal", description="Backbone under the prior."
    )  # type: ignore[assignment]
    readout: Annotated[str, AbsentMeans("linear")] = Field(
        "auto",
        min_length=1,
        max_length=100,
        description="How network states become clean latents: linear, or one that the "
        "representation offers (of tokens: categorical, chained, recurrent, block_recurrent, "
        "through_decoder, "
        "second_head); auto: the first that it offers, else linear.",
    )
    history: Annotated[Literal["auto", "latents", "states"], AbsentMeans("latents")] = Field(
        "auto",
        description="How the prior reads what stands before a block: its latents, or its text as "
        "the representation reads it (states); auto: the latter where it is offered.",
    )
    schedule: Law = Field("logit_normal", description="Law of the training times.")  # type: ignore[assignment]
    coupling: Annotated[ComponentConfig, Slot("coupling")] = Field(
        "independent", description="How noise is paired with data in training."
    )  # type: ignore[assignment]
    noisings: int = Field(
        1,
        ge=1,
        le=64,
        description="Noisings of each latent per step; they share one pass over the history.",
    )
    history_dropout: Share = Field(
        0.1,
        description="Share of rows trained with empty history, the unconditional branch that "
        "guidance needs.",
    )
    pinned_blocks: Share = Field(
        0.1,
        description="Share of blocks of which a random prefix is given clean in training, as the "
        "tail of a prompt is when sampling (clean repaint).",
    )

    def capabilities(self) -> PriorCapabilities:
        """No likelihood, guidance by empty history, blocks in order."""
        return PriorCapabilities(
            likelihood="none", guidance=True, readout=True, history=True, one_step=True
        )


class FlowPriorConfig(PathPriorConfig):
    """Shared base of priors that move noise to data along a learned velocity field.

    Example:
        >>> from pydantic import Field
        >>> class HuberConfig(FlowPriorConfig):
        ...     width: float = Field(0.1, gt=0, le=10, description="Error where it turns linear.")
        >>> HuberConfig(width=0.2).capabilities().likelihood
        'none'
    """

    solver: Annotated[SolverConfig, Slot("solver")] = Field(
        "euler", description="Integrator of the velocity field when sampling."
    )  # type: ignore[assignment]
    prediction: Literal["velocity", "x0"] = Field(
        "velocity", description="What the network predicts: eps - z0, or the clean latent z0."
    )
    loss_space: Annotated[
        Literal["auto", "x0", "velocity", "snr"], SearchRange(choices=("x0", "velocity", "snr"))
    ] = Field(
        "auto",
        description="What is compared, whatever is predicted: the clean latents (x0), velocities "
        "(that error times 1 / t²), or clean latents by signal over noise (times ((1 - t) / t)², "
        "at most 5); auto: what is predicted.",
    )


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
    guidance: Guidance = Field(
        1.0,
        description="g in g · with + (1 - g) · without an estimate when sampling; 1 is off (no "
        "unit).",
    )


class Stagger(BaseModel):
    """Times that differ by position inside a block: the left goes ahead of the right."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lead: Annotated[float, SearchRange(low=0.0, high=1.0)] = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of its way from noise to data that a position has gone when the next "
        "one begins: 0 samples the positions of a block together, 1 one after the other.",
    )
    times: Literal["clock", "independent"] = Field(
        "clock",
        description="Times of a block's positions in training: as sampling has them (clock), or "
        "each drawn by itself, for any lead.",
    )

    @property
    def on(self) -> bool:
        """Whether positions are trained at times of their own."""
        return self.lead > 0 or self.times == "independent"


class Trajectory(BaseModel):
    """Own-trajectory consistency: predictions hold at the points where sampling goes on from them.

    Averaged weights say what is to be predicted there.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = Field(
        16, ge=2, le=1024, description="Steps of the sampler whose next point is looked at."
    )
    weight: Annotated[float, SearchRange(choices=(0.0, 0.25, 1.0))] = Field(
        0.0,
        ge=0,
        le=1000,
        description="Weight of the squared distance between the clean latents predicted here and "
        "there, mean over channels, at about a third more model FLOPs; much of it narrows what is "
        "sampled; 0 is off (no unit).",
    )
    warmup: float = Field(
        0.04,
        ge=0,
        lt=1,
        description="Share of the stage's steps before it begins (no unit).",
    )
    decay: float = Field(
        0.999,
        ge=0,
        lt=1,
        description="Decay of the averaged weights at a step; at first less, (1 + n) / (10 + n) "
        "behind n steps (no unit).",
    )

    @property
    def on(self) -> bool:
        """Whether it is asked for."""
        return self.weight > 0


class FlowMatchingConfig(FlowPriorConfig):
    """Conditional flow matching on straight paths between noise and latents."""

    self_conditioning: SelfConditioning = Field(
        SelfConditioning(), description="Whether the network reads an estimate of its own."
    )
    trajectory: Trajectory = Field(
        Trajectory(), description="Whether predictions hold along the sampler's own way."
    )
    stagger: Stagger = Field(
        Stagger(), description="Whether positions of a block are at times of their own."
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

    @model_validator(mode="after")
    def _asked_at_times_of_positions(self) -> FlowMatchingConfig:
        if self.stagger.on and not self.network.capabilities().position_times:
            raise ValueError(
                f"stagger: the network {self.network.type} takes one time for a block; leave "
                "stagger as it is, or choose block_causal"
            )
        if self.stagger.lead and self.solver.evaluations(2) != 2:
            raise ValueError(
                "stagger: positions at times of their own go by Euler's steps; choose solver euler"
            )
        return self

    def capabilities(self) -> PriorCapabilities:
        """A likelihood along the ODE, guidance by empty history, blocks in order.

        The ODE has one time for a block: there is no likelihood where the left goes ahead.
        """
        return PriorCapabilities(
            likelihood="none" if self.stagger.lead else "ode",
            readout=True,
            history=True,
            estimates=True,
            guided_by_time=True,
            watched=True,
            one_step=True,
        )


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
    teacher_guidance: Guidance = Field(
        1.0,
        description="Guidance by which the teacher makes its pairs; what it adds is learned, so "
        "that sampling needs less of its own. 1 is off (no unit).",
    )
    reflow_schedule: Law = Field(
        "uniform",
        description="Law of the training times once the teacher rests: few steps need the field "
        "near pure noise as well.",
    )  # type: ignore[assignment]

    @model_validator(mode="after")
    def _no_way_of_its_own(self) -> RectifiedFlowConfig:
        if self.trajectory.on:
            raise ValueError(
                "trajectory: reflow straightens the teacher's way instead; leave its weight at 0"
            )
        if self.stagger.on:
            raise ValueError("stagger: a teacher's way has one time for a block; leave it out")
        return self

    def capabilities(self) -> PriorCapabilities:
        """As flow matching, and it needs a teacher."""
        return replace(super().capabilities(), needs_teacher=True)


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

    @model_validator(mode="after")
    def _by_likelihood_alone(self) -> CnfConfig:
        if self.trajectory.on:
            raise ValueError(
                "trajectory: maximum likelihood is its only loss; leave trajectory.weight at 0"
            )
        if self.stagger.on:
            raise ValueError("stagger: the ODE of densities has one time for a block; leave it out")
        return self

    def capabilities(self) -> PriorCapabilities:
        """As flow matching, with which it only begins."""
        return replace(super().capabilities(), maximum_likelihood=True)


class HybridConfig(FlowPriorConfig):
    """A code out of a learned codebook for each latent, and a flow for what it leaves."""

    codes: int = Field(256, ge=2, le=65536, description="Entries of the codebook.")
    code_layers: int = Field(
        2,
        ge=1,
        le=64,
        description="Layers of the causal transformer over the codes of a block; it is as wide as "
        "the network, whose state it reads.",
    )
    code_weight: float = Field(
        1.0,
        gt=0,
        le=1000,
        description="Weight of the codes' negative log probability, in nats over the channels of a "
        "latent, beside the flow's loss (no unit).",
    )

    def capabilities(self) -> PriorCapabilities:
        """As the base, without a readout: what the flow samples are residuals, not latents."""
        return replace(super().capabilities(), readout=False, one_step=False)
