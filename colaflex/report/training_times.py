"""The law of the times that a prior learned from, as far as its spec tells it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

__all__ = ["TimesLaw", "law_of_times"]

OURS = "colaflex:"


@dataclass(frozen=True)
class TimesLaw:
    """A law of logit t that is symmetric about a location.

    Attributes:
        family: logit_normal, or hyperbolic_secant, which tangent times have; or logistic, which
            uniform ones have.
        loc: its middle.
        scale: of a logit-normal law.
    """

    family: str
    loc: float = 0.0
    scale: float = 1.0

    def density(self, logit: Any) -> Any:
        """Of logit t, up to a factor."""
        away = (np.asarray(logit) - self.loc) / self.scale
        match self.family:
            case "logistic":
                return 1.0 / np.cosh(away / 2.0) ** 2
            case "hyperbolic_secant":
                return 1.0 / np.cosh(away)
        return np.exp(-0.5 * away**2)

    def above(self, time: float) -> float:
        """The share of later times, which have more noise."""
        away = (math.log(time / (1.0 - time)) - self.loc) / self.scale
        match self.family:
            case "logistic":
                return 1.0 / (1.0 + math.exp(away))
            case "hyperbolic_secant":
                return 2.0 / math.pi * math.atan(math.exp(-away))
        return NormalDist().cdf(-away)


def law_of_times(schedule: object, latent_dim: object = None) -> TimesLaw | None:
    """The law of a spec's schedule; None where there is none, or none whose law the spec tells.

    Args:
        schedule: the prior's, resolved; runs of earlier versions say `distribution`.
        latent_dim: of the latents, on which an automatic location depends.
    """
    if not isinstance(schedule, Mapping):
        return None
    name = str(schedule.get("distribution") or schedule.get("type", "")).removeprefix(OURS)
    if name == "uniform":
        return TimesLaw("logistic")
    shift, loc, scale = (schedule.get(key) for key in ("shift", "loc", "scale"))
    if name == "tangent" and isinstance(shift, int | float):
        return TimesLaw("hyperbolic_secant", math.log(shift))
    if loc == "auto" and isinstance(latent_dim, int):
        loc = 1.0 + 0.5 * math.log(latent_dim / 16)
    if name != "logit_normal" or not (
        isinstance(loc, int | float) and isinstance(scale, int | float)
    ):
        return None
    return TimesLaw("logit_normal", float(loc), float(scale))
