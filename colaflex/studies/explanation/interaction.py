"""What pairs of settings do only together."""

from __future__ import annotations

import numpy as np

from colaflex.studies.explanation.surface import Surface
from colaflex.studies.explanation.values import Interaction, Interval

__all__ = ["interactions"]

DRAWS = 1000


def interactions(surface: Surface, seed: int = 0) -> tuple[Interaction, ...]:
    """Each pair's share of what is explained, beyond the sum of both effects; greatest first.

    Intervals begin at 0 where the test doesn't rule out that the effects add up.

    Args:
        surface: fitted to the trials.
        seed: of the draws that make the intervals, and of the tests.
    """
    rng = np.random.default_rng(seed)
    drawn = surface.draws(rng, DRAWS)
    whole = drawn.sum(1)
    found = []
    for at, term in enumerate(surface.terms):
        if len(term.paths) == 2:
            part = drawn[:, at]
            low, high = np.quantile(part / whole, [0.025, 0.975])
            p = surface.p_value([term], rng, DRAWS - 1)
            low = 0.0 if p > 0.05 else float(low)
            share = Interval(float(part.mean() / whole.mean()), low, float(high))
            found.append(Interaction(*term.paths, share, p))
    return tuple(sorted(found, key=lambda interaction: -interaction.share.value))
