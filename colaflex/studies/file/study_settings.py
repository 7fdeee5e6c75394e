"""Sections of a study file: what it may spend, the optimum again, other ways to spend as much."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from colaflex.spec.training import Section
from colaflex.studies.sampling.named import Named

__all__ = ["Budget", "Control", "Fresh"]


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
