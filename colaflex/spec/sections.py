"""The sections of a spec. Component sections are resolved through the registry, by name."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from colaflex.interfaces.component import ComponentConfig, FormerDefault, Slot
from colaflex.interfaces.configs import (
    CorpusConfig,
    PriorConfig,
    RepresentationConfig,
    SegmenterConfig,
    TaskConfig,
    heads_divide_width,
)
from colaflex.interfaces.options import MAX_NEW_TOKENS
from colaflex.interfaces.search import SearchRange
from colaflex.spec.training import Section, Training

__all__ = [
    "SPEC_VERSION",
    "Document",
    "Evaluation",
    "Judge",
    "Sampling",
    "SamplingSweep",
    "Swept",
    "Tokenizer",
]

SPEC_VERSION = 1

Positive = Annotated[int, Field(ge=1, le=1_000_000)]
Guidance = Annotated[float, Field(ge=0, le=1000)]
Temperature = Annotated[float, Field(ge=0, le=100)]
Share = Annotated[float, Field(ge=0, le=1)]
Estimate = Literal["mean", "draw"]
Renoise = Literal["ddpm"] | Share
_NUMBER = r"(0?\.\d*[1-9]|[1-9]\d?(\.\d+)?)"
Grid = Annotated[
    str,
    Field(
        pattern=rf"^(uniform|law|power\({_NUMBER}\)|prefix\((0?\.\d*[1-9]|1(\.0+)?)\))$",
        max_length=40,
    ),
]
GuidanceLaw = Literal["constant", "data_end", "noise_end"]
NoiseTemperature = Annotated[float, Field(ge=0, le=10)]
EstimateTemperature = Annotated[float, Field(ge=0, le=10)]


def _ordered(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] > ends[1]:
        raise ValueError(f"expected low, then high; {ends[0]:g} is above {ends[1]:g}")
    return ends


Interval = Annotated[tuple[Share, Share], AfterValidator(_ordered)]
Swept = bool | float | str | tuple[float, float]
"""A value of an option that is swept."""

LEAST_JUDGE, FULL_JUDGE = (100, 4), (600, 16)
"""Steps and rows of a judge's training, at least and at most, where a spec gives neither."""
JUDGE_SHARE = 0.1
"""Tokens of a judge's training, as a share of the run's."""


class Tokenizer(Section):
    """How text becomes tokens: byte-level BPE trained on the train split, or a given one."""

    vocab_size: int = Field(
        4096, ge=257, le=1_000_000, description="Tokens of the trained BPE, special ones included."
    )
    path: Path | None = Field(
        None, description="A tokenizer.json to use as it is; null trains one on the corpus."
    )


class Sampling(Section):
    """How text is generated, unless the command says otherwise."""

    steps: int = Field(16, ge=1, le=100_000, description="Solver intervals per block.")
    guidance: Annotated[float, SearchRange(choices=(1.0, 1.5, 2.0, 3.0))] = Field(
        1.0,
        ge=0,
        le=1000,
        description="g in g · conditional + (1 - g) · unconditional; 1 is off (no unit).",
    )
    reencode: bool = Field(
        False,
        description="Later blocks see a block through the tokens decoded from it, encoded again: "
        "takes the sampling error out of the history, for one pass of the encoder a block.",
    )
    estimate: Annotated[Estimate, SearchRange(choices=("mean", "draw"))] = Field(
        "mean",
        description="What each step but the last goes on from: the expected latents, or ones of "
        "tokens drawn from what the readout says (draw), which few steps need.",
    )
    renoise: Annotated[Renoise, SearchRange(low=0.0, high=1.0)] = Field(
        0.0,
        description="Share of fresh noise in each step; 0 keeps the path's own, 1 forgets it, ddpm "
        "is the share by which noise grew from the step's end to its beginning.",
    )
    grid: Annotated[
        Grid, SearchRange(choices=("uniform", "law", "power(0.5)", "power(0.7)", "prefix(0.5)"))
    ] = Field(
        "uniform",
        description="Times at which a sampler looks: uniform; power(p), which is 1 - u^p at even "
        "u, for a p below 1 more often near the data; law, even quantiles of "
        "`prior.schedule` (after reflow, of `prior.reflow_schedule`); or "
        "prefix(rho), the first of steps / rho even ones, the last estimate being the end.",
    )
    guidance_interval: Annotated[
        Interval, SearchRange(choices=((0.0, 1.0), (0.0, 0.5), (0.25, 0.75), (0.5, 1.0)))
    ] = Field(
        (0.0, 1.0),
        description="Times at which guidance acts, low and high, both included: 1 is noise, 0 the "
        "data. Elsewhere it is off, and the network runs once.",
    )
    guidance_law: Annotated[
        GuidanceLaw, SearchRange(choices=("constant", "data_end", "noise_end"))
    ] = Field(
        "constant",
        description="How guidance goes over time: constant; 1 + (1 - t) (g - 1), growing to the "
        "data's end; or 1 + t (g - 1), to the noise's.",
    )
    noise_temperature: Annotated[NoiseTemperature, SearchRange(low=0.5, high=1.5)] = Field(
        1.0,
        description="Standard deviation of the noise that sampling begins with, and of fresh noise "
        "on the way (no unit).",
    )
    estimate_temperature: Annotated[EstimateTemperature, SearchRange(low=0.3, high=1.0)] = Field(
        1.0,
        description="Of the tokens of drawn estimates; 0 takes the most probable ones (no unit).",
    )
    end: Annotated[Estimate, SearchRange(choices=("mean", "draw"))] = Field(
        "mean",
        description="What the last step gives where estimates are drawn: the expected latents, or "
        "drawn ones as before, so that one step writes too.",
    )
    temperature: Annotated[float, SearchRange(low=0.0, high=1.0)] = Field(
        0.0, ge=0, le=100, description="Of the decoder's tokens; 0 takes the most probable one."
    )
    top_k: int = Field(
        0, ge=0, le=10_000_000, description="Draw from the k most probable tokens; 0 is off."
    )
    top_p: float = Field(
        1.0, gt=0, le=1, description="Draw from the fewest tokens of that probability; 1 is off."
    )
    repetition_penalty: float = Field(
        1.0, gt=0, le=100, description="Divides logits of tokens seen before; 1 is off (no unit)."
    )
    max_new_tokens: int = Field(
        64, ge=1, le=MAX_NEW_TOKENS, description="Most tokens generated after a prompt."
    )


class Judge(Section):
    """The small autoregressive model that judges samples, trained on the corpus's judge split.

    Where neither `steps` nor `batch_size` is given, its training is sized to the run's: a tenth of
    the tokens of all stages, within 100 steps of 4 rows and 600 of 16; first its steps grow, then
    its rows. What is compared has one judge: on boards and in studies it is of full size.
    """

    enabled: bool = Field(True, description="Whether texts are judged.")
    steps: Annotated[Literal["auto"] | Positive, FormerDefault(FULL_JUDGE[0])] = Field(
        "auto", description="Training steps at most; auto: 600, or fewer as the run is small."
    )
    width: int = Field(128, ge=8, le=16_384, description="Channels of its states.")
    layers: int = Field(4, ge=1, le=256, description="Transformer layers.")
    heads: int = Field(
        4, ge=1, le=256, description="Attention heads; twice as many divide the width."
    )
    batch_size: Annotated[Literal["auto"] | Positive, FormerDefault(FULL_JUDGE[1])] = Field(
        "auto", description="Rows of a training step; auto: 16, or fewer as the run is small."
    )
    max_tokens: int = Field(
        256, ge=2, le=1_000_000, description="Length of a row (tokens); longer texts are cut."
    )

    _heads_divide_width = model_validator(mode="after")(heads_divide_width)

    def size(self, tokens: float = math.inf) -> tuple[int, int]:
        """Steps, and rows of each, in a run that trains on so many tokens; by default the most."""
        (least, few), (most, many) = LEAST_JUDGE, FULL_JUDGE
        if self.steps == self.batch_size == "auto":
            rows = JUDGE_SHARE * tokens / self.max_tokens
            steps = round(min(max(least, rows / few), most))
            return steps, round(min(max(few, rows / steps), many))
        return (
            most if self.steps == "auto" else self.steps,
            many if self.batch_size == "auto" else self.batch_size,
        )


class SamplingSweep(Section):
    """Values of options of `sampling` to sample at as well, one option at a time.

    Those of an option that the model has not are left out.
    """

    reencode: tuple[bool, ...] = Field(
        (), max_length=2, description="Values of `sampling.reencode`."
    )
    estimate: tuple[Estimate, ...] = Field(
        (), max_length=64, description="Values of `sampling.estimate`."
    )
    renoise: tuple[Renoise, ...] = Field(
        (), max_length=64, description="Values of `sampling.renoise`."
    )
    grid: tuple[Grid, ...] = Field((), max_length=64, description="Values of `sampling.grid`.")
    guidance_interval: tuple[Interval, ...] = Field(
        (), max_length=64, description="Values of `sampling.guidance_interval`."
    )
    guidance_law: tuple[GuidanceLaw, ...] = Field(
        (), max_length=64, description="Values of `sampling.guidance_law`."
    )
    noise_temperature: tuple[NoiseTemperature, ...] = Field(
        (), max_length=64, description="Values of `sampling.noise_temperature`."
    )
    estimate_temperature: tuple[EstimateTemperature, ...] = Field(
        (), max_length=64, description="Values of `sampling.estimate_temperature`."
    )
    end: tuple[Estimate, ...] = Field((), max_length=64, description="Values of `sampling.end`.")

    def values(self) -> dict[str, tuple[Swept, ...]]:
        """The values by option, of those options that have some."""
        return {name: values for name, values in self if values}


class Evaluation(Section):
    """What is measured after training."""

    samples: int = Field(64, ge=0, le=1_000_000, description="Texts generated and measured.")
    documents: int = Field(
        256, ge=1, le=10_000_000, description="Held-out documents read (reconstruction, judge)."
    )
    prompt_tokens: int = Field(
        0, ge=0, le=1_000_000, description="Tokens of held-out text before each sample; 0: none."
    )
    sweep_steps: tuple[Positive, ...] = Field(
        (1, 2, 4, 8, 16, 32), max_length=64, description="Solver steps to sample at as well."
    )
    sweep_drawn_steps: tuple[Positive, ...] = Field(
        (),
        max_length=64,
        description="Solver steps to sample at by drawn estimates (`sampling.estimate`) as well.",
    )
    sweep_guidance: tuple[Guidance, ...] = Field(
        (1.0, 1.5, 2.0, 3.0, 5.0, 8.0), max_length=64, description="Guidances to sample at as well."
    )
    sweep_temperature: tuple[Temperature, ...] = Field(
        (), max_length=64, description="Temperatures of the tokens to sample at as well."
    )
    sweep_grid: bool = Field(
        False, description="Sample at every pair of `sweep_guidance` and `sweep_temperature` too."
    )
    sweep_sampling: SamplingSweep = Field(
        SamplingSweep(), description="Other options of `sampling` to sample at as well."
    )
    sweep_samples: int = Field(
        32, ge=1, le=1_000_000, description="Texts generated at each point of a sweep."
    )
    bootstrap: int = Field(
        1000, ge=100, le=1_000_000, description="Resamples behind a 95 % interval."
    )
    likelihood: Literal["auto", "readout"] | bool = Field(
        "auto",
        description="Whether the likelihood of held-out documents is computed; auto: where the "
        "model has one, unless it takes the integration of an ODE; readout: as auto, but of a "
        "prior whose readout draws text, the bound of that, in one step from noise.",
    )
    judge: Judge = Field(Judge(), description="The model that judges samples.")
    tasks: tuple[Annotated[TaskConfig, Slot("task")], ...] = Field(
        (), max_length=64, description="Tasks made of held-out text that the model is asked."
    )


class Document(Section):
    """A whole spec, with everything inherited and overridden in its place."""

    spec_version: Literal[1] = Field(1, description="Version of this format.")
    name: str = Field(
        "unnamed",
        min_length=1,
        max_length=100,
        pattern=r"^[^/\\\x00-\x1f]+$",
        description="Name of the experiment, by default the file's; no part of the digest.",
    )
    seed: int = Field(
        0, ge=0, lt=2**63, description="Seed of weights, order and noise (any integer)."
    )
    requires: tuple[str, ...] = Field(
        (), description="Distributions that must be installed, e.g. `colaflex-foo>=0.3`."
    )
    corpus: Annotated[CorpusConfig, Slot("corpus")] = Field(
        ..., description="Where documents come from."
    )
    tokenizer: Tokenizer = Field(Tokenizer(), description="How text becomes tokens.")
    segmenter: Annotated[SegmenterConfig, Slot("segmenter")] | None = Field(
        "fixed_patch", description="Which span of tokens one latent stands for."
    )  # type: ignore[assignment]
    representation: Annotated[RepresentationConfig, Slot("representation")] | None = Field(
        "text_vae", description="Lifts text into latents and realises it back."
    )  # type: ignore[assignment]
    prior: Annotated[PriorConfig, Slot("prior")] | None = Field(
        "flow_matching", description="Learns the distribution of the latents."
    )  # type: ignore[assignment]
    baseline: Annotated[ComponentConfig, Slot("baseline")] | None = Field(
        None, description="A language model without latents, instead of a prior."
    )
    training: Training = Field(Training(), description="How the model is trained.")
    sampling: Sampling = Field(Sampling(), description="How text is generated.")
    evaluation: Evaluation = Field(Evaluation(), description="What is measured after training.")

    def components(self) -> dict[str, ComponentConfig]:
        """The component sections that this spec has, by name."""
        names = ("corpus", "segmenter", "representation", "prior", "baseline")
        return {name: value for name in names if (value := getattr(self, name)) is not None}
