"""How much is learned of the data at each noise level, from what training loses there.

Over l = logit t, in bins of equal width; what a law draws in proportion to it sees every level as
often as it tells something.

References:
    InfoNoise (2026), https://arxiv.org/abs/2602.18647, for times by the I-MMSE relation; CDCD
    (Dieleman et al., 2022), https://arxiv.org/abs/2211.15089, for times by a cross-entropy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

__all__ = ["Curve", "from_content", "from_errors", "rising"]

Curve = NDArray[np.float64]

GATE_POWER = 3
"""n of s^n / (s^n + c^n), s the noise over the signal: near the data a network's error counts less,
which there is its own rather than the data's."""

GATE_SHARE = 2e-3
"""c lies where the information rises for good above this share of its peak."""

GATE_DEFAULT = 0.15
"""c where it never falls below: latents that are themselves continuous."""


def rising(values: Curve, counts: Curve) -> Curve:
    """The nearest values that rise from bin to bin; bins without counts lie between the others."""
    seen = counts > 0
    places = np.arange(len(values), dtype=np.float64)
    fitted = isotonic_regression(values[seen], weights=counts[seen]).x
    between: Curve = np.interp(places, places[seen], fitted)
    return between


def from_errors(logits: Curve, errors: Curve, counts: Curve, weights: Curve) -> Curve:
    """Of each bin, by how fast entropy falls: dH/dl = mmse · ((1 - t) / t)², per channel.

    Args:
        logits: middles of the bins.
        errors: mean squared errors of clean latents, mean over channels, unweighted.
        counts: of what was seen; 0 where errors mean nothing.
        weights: what the loss weighs these errors with: what it weighs more is drawn less.

    Returns:
        Shares of the bins, whose sum is 1; zeros where nothing was learned.
    """
    noise = np.exp(logits)  # over the signal
    # The noisy latents themselves, over 1 - t, have this error: nothing that is learned has more.
    least = np.minimum(rising(errors, counts), noise**2)
    information = least / noise**2
    gate = noise**GATE_POWER
    gate /= gate + _gate_noise(noise, information) ** GATE_POWER
    return _shares(information * gate / weights)


def from_content(nats: Curve, counts: Curve) -> Curve:
    """Of each bin, by how fast what the content costs rises towards the noise.

    Args:
        nats: mean costs, by a readout or a decoder.
        counts: of what was seen; 0 where nats mean nothing.
    """
    cost = rising(nats, counts)
    between = (cost[1:] + cost[:-1]) / 2
    edges = np.concatenate([cost[:1], between, cost[-1:]])
    return _shares(np.diff(edges))


def _gate_noise(noise: Curve, information: Curve) -> float:
    below = np.flatnonzero(information < GATE_SHARE * information.max())
    below = below[below < information.argmax()]
    return float(noise[below[-1]]) if len(below) else GATE_DEFAULT


def _shares(amounts: Curve) -> Curve:
    total = amounts.sum()
    return amounts / total if np.isfinite(total) and total > 0 else np.zeros_like(amounts)
