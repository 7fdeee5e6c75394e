"""Figures that hang on how many texts were measured, and which of them compare.

Entropy and distinct-n of 16 texts say less than those of 64. Points of a sweep are of fewer texts
than the model's own row and its references; these are therefore measured at the sweep's number as
well: `generation.at_samples.16.unigram_entropy`, `generation.at_samples.16.real.unigram_entropy`.
"""

from __future__ import annotations

from collections.abc import Mapping

from colaflex.interfaces.metric import Measurement
from colaflex.report.metrics import describe, place

__all__ = ["SAMPLES", "beside"]

SAMPLES = "samples"
"""The axis that is no setting of the sampler but a number of texts."""


def beside(metrics: Mapping[str, Measurement], name: str, n: int) -> Measurement | None:
    """A figure of a row of texts that compares with those of n texts; None where there is none.

    Args:
        metrics: of a run, by full name.
        name: of the figure, at the spec's own settings.
        n: how many texts the points of a sweep are of.
    """
    if not describe(name).sized:
        return metrics.get(name)
    wanted = place(name)
    for other, measured in metrics.items():
        at = place(other)
        if at.axis == SAMPLES and (at.row, at.metric) == (wanted.row, wanted.metric):
            return measured
    found = metrics.get(name)
    return found if found is not None and found.n == n else None
