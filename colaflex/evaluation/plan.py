"""What is measured of a model, and how much of it."""

from __future__ import annotations

from pydantic import Field

from colaflex.evaluation.judge import JudgeSettings
from colaflex.interfaces.corpus import Split
from colaflex.spec.sections import Evaluation

__all__ = ["EvaluationPlan"]


class EvaluationPlan(Evaluation):
    """A spec's `evaluation`, with what else of the spec a measurement goes by."""

    split: Split = Field("test", description="Which documents are held against the model.")
    guided: bool | None = Field(
        None, description="Whether guidance does anything, as the model declares it; null: unknown."
    )
    draws: bool = Field(
        False, description="Whether estimates can be drawn, as the model declares it."
    )
    unfit: frozenset[str] = Field(
        frozenset(), description="Options of `sampling` swept, of which the model takes no notice."
    )
    likelihood_by_readout: bool = Field(
        False, description="Whether likelihoods are those of text that a readout draws in one step."
    )
    judged_by: JudgeSettings | None = Field(None, description="The judge, sized to the run.")
    max_tokens: int = Field(256, ge=1, description="Longest row.")
    seed: int = Field(0, description="Of the samples.")
    patch: int = Field(
        1, ge=1, description="Tokens of a segment, by which tasks are broken down; 1: they vary."
    )
