"""A metric that runs are ranked by: which way is better, and which specs can have it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from pydantic import Field

from colaflex.metrics.likelihood import declared_likelihood
from colaflex.metrics.names import describe
from colaflex.spec import Spec
from colaflex.spec.training import Section

__all__ = ["Direction", "Rank", "out_of_reach"]

Direction = Literal["higher", "lower"]


class Rank(Section):
    """A metric that ranks."""

    metric: str = Field(..., min_length=1, max_length=200, description="Name of the metric.")
    better: Direction | None = Field(
        None, description="Which way is better; null takes what is known of the metric."
    )

    @property
    def direction(self) -> Direction:
        """Which way is better."""
        known = describe(self.metric).better
        return self.better or ("lower" if known == "lower" else "higher")

    @property
    def is_directed(self) -> bool:
        """Whether it is said, or known, which way is better."""
        return self.better is not None or describe(self.metric).better in ("higher", "lower")


def out_of_reach(metric: str, specs: Collection[Spec]) -> str:
    """Why none of these specs can have a metric, by what they declare and measure; or nothing."""
    family = metric.partition(".")[0]
    if family == "likelihood" and all(declared_likelihood(spec) == "none" for spec in specs):
        return "none declares a likelihood or a bound"
    if family == "likelihood" and all(s.evaluation.likelihood is False for s in specs):
        return "evaluation.likelihood is false"
    latent = any(spec.baseline is None for spec in specs)
    if family in ("reconstruction", "geometry") and not latent:
        return "none has latents"
    if family in ("generation", "judge") and all(s.evaluation.samples == 0 for s in specs):
        return "evaluation.samples is 0"
    if "judge" in metric and not any(spec.evaluation.judge.enabled for spec in specs):
        return "evaluation.judge.enabled is false"
    return ""
