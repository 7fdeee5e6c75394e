"""How much settings matter: each one, and what pairs of them do only together.

Optuna's importances have no intervals and no tests, none of pairs, and leave out keys that only
some components have.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from colaflex.statistics.intervals import Floats
from colaflex.studies.explanation.explanation import Importance, Interaction, Interval
from colaflex.studies.explanation.surface import Surface

__all__ = ["importances", "interactions"]

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
    shares = []
    for path in dict.fromkeys(path for term in surface.terms for path in term.paths):
        share, _ = _share(surface, [path in term.paths for term in surface.terms], drawn, rng)
        shares.append(Importance(path, share.value, share.low, share.high))
    return tuple(sorted(shares, key=lambda importance: -importance.value))


def interactions(surface: Surface, seed: int = 0) -> tuple[Interaction, ...]:
    """Each pair's share of what is explained, beyond the sum of both effects; greatest first.

    Intervals begin at 0 where the test doesn't rule out that the effects add up.

    Args:
        surface: fitted to the trials.
        seed: of the draws that make the intervals, and of the tests.
    """
    rng = np.random.default_rng(seed)
    drawn = surface.draws(rng, DRAWS)
    pairs = []
    for term in surface.terms:
        if len(term.paths) == 2:
            share, p_value = _share(surface, [one is term for one in surface.terms], drawn, rng)
            pairs.append(Interaction(*term.paths, share, p_value))
    return tuple(sorted(pairs, key=lambda interaction: -interaction.share.value))


def _share(
    surface: Surface, chosen: Sequence[bool], drawn: Floats, rng: np.random.Generator
) -> tuple[Interval, float]:
    """The share of some terms in what is explained, and the p-value of their being flat."""
    whole, part = drawn.sum(1), drawn[:, chosen].sum(1)
    low, high = np.quantile(part / whole, [0.025, 0.975])
    terms = [term for term, is_chosen in zip(surface.terms, chosen, strict=True) if is_chosen]
    p_value = surface.p_value(terms, rng, DRAWS - 1)
    low = 0.0 if p_value > 0.05 else float(low)
    return Interval(float(part.mean() / whole.mean()), low, float(high)), p_value
