"""At which location of the schedule the loss of z0 looks where that of velocities does.

With v = (z_t - z0) / t an error of z0 is t times that of v, so that times drawn from p(t) weigh
velocities by t² p(t). Of logit t ~ N(loc, scale²) that is a law whose mean lies higher.
"""

from __future__ import annotations

import numpy as np

__all__ = ["effective_location", "x0_location"]

REACH, CELLS = 12.0, 4801
"""Of the grid in deviations of logit t; sums of so smooth a law are exact to rounding."""


def effective_location(loc: float, scale: float = 1.0) -> float:
    """The mean of logit t by the weight that the loss of z0 gives to errors of the velocity."""
    logits = loc + scale * np.linspace(-REACH, REACH, CELLS)
    weight = np.exp(-0.5 * ((logits - loc) / scale) ** 2) / (1 + np.exp(-logits)) ** 2
    return float((weight * logits).sum() / weight.sum())


def x0_location(location: float, scale: float = 1.0) -> float:
    """The loc at which the loss of z0 acts as that of velocities does at `location`."""
    from scipy.optimize import brentq

    # The weight lies between 1 and t², which moves the mean of logit t by 0 to 2 scale².
    below = location - 2 * scale**2 - 1e-9
    return float(brentq(lambda loc: effective_location(loc, scale) - location, below, location))
