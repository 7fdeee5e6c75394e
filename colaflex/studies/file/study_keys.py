"""The keys of a study file and their sections."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from colaflex.metrics.rank import Rank
from colaflex.spec.definition import Definition
from colaflex.spec.training import Section
from colaflex.studies.sampling.sampler_options import Named
from colaflex.studies.sampling.start import Start

__all__ = ["Budget", "Control", "Fresh", "StudyKeys"]


class Budget(Section):
    """What ends a search: whichever is reached first."""

    trials: int | None = Field(
        None, ge=1, le=1_000_000, description="Completed trials, of all workers together."
    )
    minutes: float | None = Field(
        None, gt=0, le=1e7, description="Minutes of training, of all trials together."
    )
    flops: float | None = Field(
        None, gt=0, le=1e30, description="Model FLOPs of training, each stage 1 counted once."
    )
    failures: int = Field(
        5, ge=1, le=1_000_000, description="Failed trials in a row that end the search."
    )


class Fresh(Section):
    """The optimum again, on seeds that the search never saw and on the test split."""

    seeds: int = Field(5, ge=0, le=1000, description="Runs of it; 0: none.")
    first: int = Field(1000, ge=0, lt=2**63 - 1000, description="Seed of the first.")
    set: dict[str, Any] = Field({}, description="Values by key path, over the base spec.")


class Control(Section):
    """Another way to spend the same budget: another sampler, or a point without a search."""

    sampler: Named | None = Field(None, description="What proposes its trials.")
    point: dict[str, Any] | None = Field(
        None, description="Values by key path: nothing is searched, these are run on fresh seeds."
    )


class StudyKeys(Definition):
    """What a study file says."""

    KIND = "a study"
    EXPECTED = "a map with study, base, space, objectives, budget"

    study: str = Field(..., min_length=1, max_length=100, description="Name of the study.")
    space: dict[str, Any] | None = Field(
        None,
        description="What is searched by key path: choices, a range, or `default`; null: the four "
        "knobs that are calibrated together.",
    )
    objectives: tuple[Rank, ...] = Field(
        ..., min_length=1, max_length=8, description="Metrics of the validation split to improve."
    )
    budget: Budget = Field(..., description="What ends the search.")
    sampler: Named = Field(Named(type="tpe"), description="What proposes trials.")
    pruner: Named | None = Field(None, description="What ends trials early.")
    rungs: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (),
        max_length=64,
        description="Shares of the prior stage's tokens at which a trial is measured beforehand.",
    )
    seeds: int = Field(1, ge=1, le=1000, description="Runs of a trial; their mean is its value.")
    start: Start | None = Field(None, description="What is known beforehand; null: nothing.")
    trials: dict[str, Any] = Field(
        {}, description="Values by key path over the base spec, in trials of the search only."
    )
    fresh: Fresh = Field(Fresh(), description="The optimum again, on fresh seeds.")
    controls: dict[str, Control] = Field(
        {}, description="Other ways to spend the same budget, by name."
    )
    storage: str = Field(
        "journal", min_length=1, max_length=1000, description="Where trials are kept."
    )
