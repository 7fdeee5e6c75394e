"""How a board tunes its rows: the same number of trials for each, of the same FLOPs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from colaflex.spec.training import Section

__all__ = ["SAMPLING", "STAGE1_SHARE", "TuningPlan", "sampling_settings", "spec_settings"]

STAGE1_SHARE = "stage1_flops"
"""The one key of a space that is the board's and no spec's."""
SAMPLING = "sampling."
KeyPathText = Annotated[str, Field(min_length=1, max_length=200)]


class TuningPlan(Section):
    """The same tuning for every row: trials on validation, of which the best is trained anew."""

    trials: int = Field(
        ..., ge=1, le=10_000, description="Trials of every row, its own recipe the first of them."
    )
    fidelity: float = Field(
        0.25, gt=0, le=1, description="Model FLOPs of a trial, as a fraction of the row's budget."
    )
    space: dict[str, Any] | None = Field(
        None,
        description="What is searched, as in a study: key path -> choices, a range or `default`; "
        "`default`, or null: the learning rate of the last stage, the share of stage 1, and what "
        "the row's components and its way of sampling declare.",
    )
    fixed: tuple[KeyPathText, ...] = Field(
        (), max_length=1000, description="Key paths that are searched in no row."
    )
    samplings: int = Field(
        1,
        ge=1,
        le=1000,
        description="Settings of `sampling` that a trial's trained model is measured at; the best "
        "counts.",
    )
    changes: int | None = Field(
        3,
        ge=1,
        le=1000,
        description="Parameters, drawn by chance, in which a trial differs at most from the best "
        "so far; null: all.",
    )
    seed: int = Field(
        1000, ge=0, lt=2**63, description="Seed of trials and search; none of the board's."
    )
    budget: str | None = Field(
        None,
        description="Budget at which rows are tuned for all budgets; null: at each for itself.",
    )


def spec_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a trial that are the spec's: all but the share of stage 1."""
    return {path: value for path, value in settings.items() if path != STAGE1_SHARE}


def sampling_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a trial that a trained model can be measured at."""
    return {path: value for path, value in settings.items() if path.startswith(SAMPLING)}
