"""What is measured of a model, and how much of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from colaflex.evaluation.judge import JudgeSettings
from colaflex.interfaces.configs import TaskConfig
from colaflex.interfaces.corpus import Split

__all__ = ["EvaluationPlan"]


@dataclass(frozen=True)
class EvaluationPlan:
    """What is measured, and how much of it.

    Attributes:
        split: which documents are held against the model.
        samples: texts generated.
        documents: held-out documents read.
        prompt_tokens: tokens of held-out text before each sample.
        sweep_steps: solver steps to sample at as well.
        sweep_drawn_steps: solver steps to sample at by drawn estimates as well.
        sweep_guidance: guidances to sample at as well.
        sweep_temperature: temperatures of tokens to sample at as well.
        sweep_grid: whether to sample at every pair of guidance and temperature as well.
        guided: whether guidance does anything, as the model declares it; None where it declares
            nothing of the kind.
        draws: whether estimates can be drawn, as the model declares it.
        sweep_samples: texts at each point of a sweep.
        bootstrap: resamples behind an interval.
        likelihood: whether the likelihood of held-out documents is computed, where there is one.
        judge: its settings, or None.
        max_tokens: longest row.
        seed: of the samples.
        tasks: that are put to the model.
        patch: tokens of a segment, by which tasks are broken down; 1 where lengths vary.
    """

    split: Split = "test"
    samples: int = 64
    documents: int = 256
    prompt_tokens: int = 0
    sweep_steps: Sequence[int] = ()
    sweep_drawn_steps: Sequence[int] = ()
    sweep_guidance: Sequence[float] = ()
    sweep_temperature: Sequence[float] = ()
    sweep_grid: bool = False
    guided: bool | None = None
    draws: bool = False
    sweep_samples: int = 32
    bootstrap: int = 1000
    likelihood: bool = True
    judge: JudgeSettings | None = None
    max_tokens: int = 256
    seed: int = 0
    tasks: Sequence[TaskConfig] = ()
    patch: int = 1
