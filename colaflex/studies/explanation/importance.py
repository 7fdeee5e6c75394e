"""How much each setting matters."""

from __future__ import annotations

import numpy as np

from colaflex.studies.explanation.surface import Surface
from colaflex.studies.explanation.values import Importance

__all__ = ["importances"]

DRAWS = 1000


def importances(surface: Surface, seed: int = 0) -> tuple[Importance, ...]:
    """The share of what is explained that each setting takes part in, the greatest first.

    A setting's share is what it does alone and in pairs, over all; what a pair does only together
    counts for both, so that the shares of settings that interact add up to more than 1. A share is
    never negative: its interval begins at 0 where a test doesn't rule out that it is 0.

    Args:
        surface: fitted to the trials.
        seed: of the draws that make the intervals.
    """
    rng = np.random.default_rng(seed)
    drawn = surface.draws(rng, DRAWS)
    whole = drawn.sum(1)
    found = []
    for path in dict.fromkeys(path for term in surface.terms for path in term.paths):
        terms = [term for term in surface.terms if path in term.paths]
        part = drawn[:, [path in term.paths for term in surface.terms]].sum(1)
        low, high = np.quantile(part / whole, [0.025, 0.975])
        if surface.p_value(terms, rng, DRAWS - 1) > 0.05:
            low = 0.0
        found.append(Importance(path, float(part.mean() / whole.mean()), float(low), float(high)))
    return tuple(sorted(found, key=lambda importance: -importance.value))
