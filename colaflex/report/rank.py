"""A metric that runs are ranked by: which way is better, and whether there is such a metric."""

from __future__ import annotations

from collections.abc import Collection
from fnmatch import fnmatchcase
from typing import Literal

from pydantic import Field

from colaflex.files.problems import nearest
from colaflex.report.metrics import METRICS, describe, place
from colaflex.spec import Spec
from colaflex.spec.training import Section

__all__ = [
    "Direction",
    "Rank",
    "declared_likelihood",
    "is_known",
    "near_metric",
    "out_of_reach",
]

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


def is_known(metric: str) -> bool:
    """Whether a metric of this name is described."""
    canonical = place(metric).canonical
    return any(fnmatchcase(canonical, pattern) for pattern in METRICS)


def near_metric(metric: str) -> str:
    """What to do about a name that isn't known: the nearest one, or where they are listed."""
    plain = [pattern for pattern in METRICS if not set(pattern) & set("*?")]
    hint = nearest(metric, plain)
    return hint if hint.startswith("did") else "docs/metrics.md lists them"


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


def declared_likelihood(spec: Spec) -> Literal["exact", "ode", "bound", "none"]:
    """What the likelihood of a spec's model is, as its parts declare.

    That of a latent model is at best a bound, and needs a density of both posterior and prior;
    where the prior's is integrated along an ODE it is the estimate of one.
    """
    if spec.baseline is not None:
        capabilities = spec.baseline.capabilities()
        declared: Literal["exact", "bound", "none"] = capabilities.likelihood
        return declared
    assert spec.prior is not None
    assert spec.representation is not None
    densities = spec.representation.capabilities().continuous_density
    density = spec.prior.capabilities().likelihood
    if not densities or density == "none":
        return "none"
    return "ode" if density == "ode" else "bound"
