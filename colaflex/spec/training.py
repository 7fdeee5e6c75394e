"""The `training` section and what it resolves to for one stage."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, create_model, field_validator, model_validator

from colaflex.interfaces.search import SearchRange

__all__ = [
    "ADAPTATION",
    "REPRESENTATION_SHARE",
    "GradientGate",
    "Interval",
    "StageSettings",
    "Training",
    "Weights",
]

REPRESENTATION_SHARE = 0.4
ADAPTATION = "adapt_decoder"
"""The stage behind the prior's in which the decoder learns to read what the prior expects."""
ADAPTED_SHARE = 0.5


class Section(BaseModel):
    """Base of the sections: strict and frozen, every field described, bounded, with its unit."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class GradientGate(Section):
    """How much of the prior's loss reaches the encoder in stage 2."""

    start: float = Field(
        0.0, ge=0, le=1, description="Factor on that gradient at first; 0 stops it, 1 lets it pass."
    )
    end: float = Field(0.0, ge=0, le=1, description="Factor on that gradient at last.")
    shape: Literal["linear", "cosine", "constant"] = Field(
        "linear", description="How it goes from start to end; constant stays at start."
    )
    begin_step_fraction: float = Field(
        0.0, ge=0, le=1, description="Where it leaves start, as a fraction of the stage's steps."
    )
    end_step_fraction: float = Field(
        1.0, ge=0, le=1, description="Where it reaches end, as a fraction of the stage's steps."
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.begin_step_fraction > self.end_step_fraction:
            raise ValueError(
                f"begin_step_fraction {self.begin_step_fraction} lies behind end_step_fraction "
                f"{self.end_step_fraction}"
            )
        return self

    @property
    def ends(self) -> tuple[float, float]:
        """The factor at first and at last; where the stage ends before it moves, there is one."""
        still = self.shape == "constant" or self.begin_step_fraction == 1
        return (self.start, self.start if still else self.end)

    @property
    def highest(self) -> float:
        """The largest factor; 0 where no gradient ever passes."""
        return max(self.ends)

    @property
    def opens(self) -> bool:
        """Whether any gradient ever passes."""
        return self.highest > 0

    def value(self, progress: float) -> float:
        """The factor at `progress`, the fraction of the stage's steps done."""
        if self.shape == "constant" or progress < self.begin_step_fraction:
            return self.start
        if progress >= self.end_step_fraction:
            return self.end
        width = self.end_step_fraction - self.begin_step_fraction
        part = (progress - self.begin_step_fraction) / width
        if self.shape == "cosine":
            part = (1.0 - math.cos(math.pi * part)) / 2.0
        return self.start + (self.end - self.start) * part


class Interval(Section):
    """Regime `interval`: the representation learns now and then."""

    joint_steps: int = Field(
        100, ge=1, le=10_000_000, description="Steps in which the representation learns too."
    )
    frozen_steps: int = Field(
        100, ge=0, le=10_000_000, description="Steps that follow in which only the prior learns."
    )


class Weights(Section):
    """Weights of the stage-2 loss.

    L = representation · (-E log p(x|z) + beta · (E[log q(z|x)] - (1 - gate) · E[log N(z)])
    + lambda_mask · L_mask) + prior · L_prior + reference_kl · KL(q || q_ref), with N standard
    normal of normalised latents and q_ref the encoder at the end of stage 1. beta and lambda_mask
    are the representation's own; stage 1 knows none of these weights.
    """

    representation: float = Field(
        1.0, ge=0, le=1e6, description="Weight of the representation's losses (no unit)."
    )
    prior: float = Field(1.0, ge=0, le=1e6, description="Weight of the prior's loss (no unit).")
    reference_kl: float = Field(
        0.0,
        ge=0,
        le=1e6,
        description="Weight of the KL divergence to the encoder of stage 1 (per nat).",
    )


class StageFields(Section):
    """What every stage can have its own value of."""

    batch_size: int = Field(
        32, ge=1, le=1_000_000, description="Rows of one optimizer step, over all processes."
    )
    max_tokens: int = Field(
        256, ge=1, le=1_000_000, description="Length of a row (tokens); longer documents are cut."
    )
    learning_rate: float = Field(
        1e-3, gt=0, le=10, description="Peak learning rate (per optimizer step)."
    )
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = Field(
        (0.9, 0.95), description="Decay of the optimizer's two moments (per step)."
    )
    weight_decay: float = Field(
        0.01, ge=0, le=10, description="Decoupled weight decay, on matrices (no unit)."
    )
    clip_norm: float = Field(
        1.0, ge=0, le=1e6, description="Largest norm of the gradient; 0 leaves it unclipped."
    )
    warmup_steps: int = Field(
        100, ge=0, le=10_000_000, description="Steps of linear warm-up; at most half the stage."
    )
    lr_schedule: Literal["cosine", "wsd", "constant"] = Field(
        "cosine", description="After the warm-up: cosine, warm-up-stable-decay, or constant."
    )
    final_lr_ratio: float = Field(
        0.1, ge=0, le=1, description="Last learning rate as a fraction of the peak."
    )
    decay_fraction: float = Field(
        0.2, ge=0, le=1, description="Last fraction of the steps in which `wsd` decays."
    )
    optimizer: Literal["adamw", "muon"] = Field(
        "adamw", description="adamw, or muon for hidden matrices with adamw for the rest."
    )
    accumulate: int = Field(
        1, ge=1, le=100_000, description="Parts that a step's rows are split into, to save memory."
    )
    ema_decay: float = Field(
        0.0, ge=0, lt=1, description="Decay of the averaged weights (per step); 0 keeps none."
    )
    gradient_checkpointing: bool = Field(
        False, description="Recompute activations in the backward pass, to save memory."
    )
    compile: bool = Field(False, description="Compile the model with torch.compile.")


class StageSettings(StageFields):
    """One stage, fully resolved; 0 switches `clip_norm` and `ema_decay` off."""

    steps: int = Field(..., ge=0, description="Optimizer steps of the stage.")


def _overrides() -> type[BaseModel]:
    """The optional twin of StageFields: what is null is inherited from `training`."""
    fields: dict[str, Any] = {
        name: (
            Annotated[(field.annotation, *field.metadata)] | None
            if field.metadata
            else field.annotation | None,  # type: ignore[operator]
            Field(None, description=f"{field.description} Null inherits."),
        )
        for name, field in StageFields.model_fields.items()
    }
    steps = Annotated[int, Field(ge=0, le=1_000_000_000)] | None
    share = Annotated[float, Field(ge=0, le=1)] | None
    text = "Optimizer steps of the stage; null takes its share of `training.steps`."
    fields["steps"] = (steps, Field(None, description=text))
    text = (
        f"The stage's fraction of `training.steps`; null: {REPRESENTATION_SHARE} for "
        "representation, 0 for adapt_decoder, what these leave for prior, 1 for a baseline's."
    )
    fields["share"] = (share, Field(None, description=text))
    mix = Annotated[
        Annotated[float, Field(ge=0, le=1)] | None, SearchRange(choices=(0.25, 0.5, 0.75))
    ]
    text = (
        "Of adapt_decoder alone: share of the blocks that the decoder reads as the prior expects "
        "them, the others being the encoder's own (no unit); null: 0.5."
    )
    fields["mix"] = (mix, Field(None, description=text))
    return create_model("StageOverrides", __base__=Section, **fields)


StageOverrides = _overrides()


class Training(StageFields):
    """How the model is trained."""

    steps: int = Field(
        2000,
        ge=1,
        le=1_000_000_000,
        description="Optimizer steps of all stages; each takes its share, or has its own.",
    )
    regime: Literal["joint", "frozen", "interval", "scratch"] = Field(
        "joint",
        description="Stage 2: the representation learns along (joint), rests (frozen), learns now "
        "and then (interval); or there is no stage 1 and both learn from the start (scratch). It "
        "rests in any case while a teacher teaches the prior.",
    )
    representation_lr_ratio: float = Field(
        1.0, ge=0, le=1000, description="Stage 2: the representation's learning rate / the prior's."
    )
    gradient_gate: GradientGate = Field(
        GradientGate(), description="Stage 2: how much of the prior's loss reaches the encoder."
    )
    interval: Interval = Field(Interval(), description="Rhythm of the regime `interval`.")
    teacher_fraction: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="Fraction of stage 2 in which a prior trains the teacher that it needs.",
    )
    prompt_rows: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Stage 2: share of the rows with a segment cut at a random token, as the end "
        "of a prompt cuts it.",
    )
    weights: Weights = Field(Weights(), description="Weights of the stage-2 loss.")
    stages: dict[str, StageOverrides] = Field(  # type: ignore[valid-type]
        {}, description="Settings of single stages, by name: representation, prior, adapt_decoder."
    )
    log_every: int = Field(
        50, ge=1, le=10_000_000, description="Steps between lines of metrics.jsonl."
    )
    checkpoint_every: int = Field(
        500, ge=1, le=10_000_000, description="Steps between checkpoints."
    )
    keep_checkpoints: int = Field(2, ge=1, le=10_000, description="Latest checkpoints kept.")

    @field_validator("stages", mode="after")
    @classmethod
    def _something_said(cls, stages: dict[str, Any]) -> dict[str, Any]:
        """A stage of which nothing is said is not there: it digests and compares as none.

        Nor is `adapt_decoder` of no steps. Other names are kept, to be found wrong where the model
        has no such stage.
        """

        def counts(name: str, own: Any) -> bool:
            if name == ADAPTATION and (own.share if own.steps is None else own.steps) == 0:
                return False
            usual = {"representation", "prior", ADAPTATION}
            return name not in usual or bool(own.model_dump(exclude_none=True))

        return {name: own for name, own in stages.items() if counts(name, own)}

    @property
    def adapts_decoder(self) -> bool:
        """Whether the decoder learns to read what the prior expects."""
        return self._steps(ADAPTATION) > 0

    @property
    def adapted_share(self) -> float:
        """Share of the blocks that it then reads as the prior expects them."""
        mix = getattr(self.stages.get(ADAPTATION), "mix", None)
        return ADAPTED_SHARE if mix is None else float(mix)

    def for_stage(self, name: str) -> StageSettings:
        """The settings of the stage `name`, with everything inherited filled in.

        The steps of stage `representation` depend on nothing but that stage and `steps`, so that
        neither prior nor regime changes them.
        """
        values = {key: getattr(self, key) for key in StageFields.model_fields}
        overrides = self.stages.get(name)
        for key in values:
            own = getattr(overrides, key, None)
            values[key] = values[key] if own is None else own
        steps = self._steps(name)
        values["warmup_steps"] = min(values["warmup_steps"], steps // 2)
        return StageSettings(**values, steps=steps)

    def _steps(self, name: str) -> int:
        overrides = self.stages.get(name)
        own, share = getattr(overrides, "steps", None), getattr(overrides, "share", None)
        if own is not None:
            return int(own)
        if share is None and name == "prior":
            before = 0 if self.regime == "scratch" else self._steps("representation")
            return self.steps - min(before + self._steps(ADAPTATION), self.steps - 1)
        if name == ADAPTATION and not share:
            return 0
        if share is None:
            share = REPRESENTATION_SHARE if name == "representation" else 1.0
        return max(1, round(share * self.steps))
