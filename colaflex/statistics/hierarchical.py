"""Whether two methods differ: seeds are the units, items are measured within them.

A row is what one method gave, as in `significance`; here training is random as well. The seeds'
values vary by training and by the part of the items' noise that each training has to itself: that
is Student's (Welch's) term, of few degrees of freedom. What the items do to all seeds alike can't
be seen between seeds: it is a second term, estimated from the items. The two add in quadrature,
each at its own quantile (Howe 1974); p is the level at which the interval reaches no difference.

Two seeds suffice, and tell little; of one, nothing is known of its method. That trainings spread
normally is assumed: of three, nobody could check it. Nothing found here is finer than what the
items alone tell apart, as further trainings can only add doubt.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import stdtr, stdtrit

from colaflex.interfaces.metric import Items, Measurement
from colaflex.statistics.intervals import Floats
from colaflex.statistics.significance import (
    PERMUTATIONS,
    difference_interval,
    items_test,
    row_interval,
    row_value,
    welch_freedom,
)

__all__ = ["hierarchical_difference", "hierarchical_interval", "hierarchical_test"]

Row = Sequence[Items]
_LEAST = 1e-12  # quantiles further out lose their digits


@dataclass(frozen=True, slots=True)
class _Spread:
    """What a value or a difference of values varies by.

    Attributes:
        seeds: squared standard error as the seeds' values show it.
        freedom: its degrees of freedom.
        items: squared standard error by what items do to all seeds alike.
        n: number of items.
    """

    seeds: float
    freedom: float
    items: float
    n: int

    def half(self, level: float) -> float:
        """Half the width of the interval that misses the truth in a share `level` of times."""
        of_seeds = -float(stdtrit(self.freedom, level / 2)) if self.seeds else 0.0
        of_items = -float(stdtrit(self.n - 1, level / 2)) if self.items else 0.0
        return math.hypot(of_seeds * math.sqrt(self.seeds), of_items * math.sqrt(self.items))

    def p_value(self, gap: float) -> float:
        """The level at which the interval of a gap ends at 0."""
        if not self.items:
            return 2 * float(stdtr(self.freedom, -abs(gap) / math.sqrt(self.seeds)))
        if self.half(_LEAST) <= abs(gap):
            return _LEAST
        log_p = brentq(lambda at: self.half(math.exp(at)) - abs(gap), math.log(_LEAST), 0.0)
        return math.exp(log_p)


def hierarchical_test(one: Row, other: Row, permutations: int = PERMUTATIONS) -> float:
    """Two-sided p that two methods are equal; the same whichever comes first.

    In pairs over items where all seeds of both have as many, which then are the same ones. Seeds
    are not paired: rows that share something within a seed vary together, and then this errs on
    the safe side.

    Raises:
        ValueError: a row has one seed; of its method nothing is known.
    """
    _several(one, other)
    over_items = items_test(one, other, permutations=permutations)
    gap, spread = row_value(one) - row_value(other), _spread_of_gap(one, other)
    if not (math.isfinite(gap) and math.isfinite(spread.seeds)) or gap == 0:
        return 1.0
    if not (spread.seeds or spread.items):  # trainings agree in every item
        return over_items
    return max(over_items, spread.p_value(gap))


def hierarchical_interval(
    row: Row, *key: object, lowest: float = -math.inf, highest: float = math.inf
) -> Measurement:
    """A method's value with its 95 % interval over seeds and items; n is the number of seeds.

    Args:
        row: two seeds or more.
        key: what the draws of the interval over items are keyed by, which lies within this one.
        lowest: least value that is possible; the interval ends there.
        highest: greatest value that is possible.

    Raises:
        ValueError: the row has one seed.
    """
    _several(row)
    return _interval(row_interval(row, *key), _spread(row), len(row), lowest, highest)


def hierarchical_difference(one: Row, other: Row, *key: object) -> Measurement:
    """`one` minus `other` on the same items, with its 95 % interval over seeds and items.

    Raises:
        ValueError: a row has one seed, or their numbers of items differ.
    """
    _several(one, other)
    over_items = difference_interval(one, other, *key)
    return _interval(over_items, _spread_of_gap(one, other), len(one) + len(other))


def _several(*rows: Row) -> None:
    for row in rows:
        if len(row) < 2:
            raise ValueError(f"what methods do is seen over seeds: two or more, not {len(row)}")


def _interval(
    over_items: Measurement,
    spread: _Spread,
    seeds: int,
    lowest: float = -math.inf,
    highest: float = math.inf,
) -> Measurement:
    value = over_items.value
    if not math.isfinite(spread.seeds):
        return Measurement(value, math.nan, math.nan, seeds)
    half = spread.half(0.05)
    low, high = np.fmin(value - half, over_items.low), np.fmax(value + half, over_items.high)
    return Measurement(value, max(float(low), lowest), min(float(high), highest), seeds)


def _spread(row: Row) -> _Spread:
    outcomes = _pseudo_values(row)
    values = np.array([seed.mean() if len(seed) else math.nan for seed in outcomes])
    seeds, n = float(np.var(values, ddof=1)) / len(row), min(map(len, outcomes))
    if not _common(outcomes):  # items of their own are seen between seeds
        return _Spread(seeds, len(row) - 1, 0.0, n)
    of_items = float(np.var(np.mean(outcomes, 0), ddof=1)) / n - _residual(outcomes)
    return _Spread(seeds, len(row) - 1, max(0.0, of_items), n)


def _spread_of_gap(one: Row, other: Row) -> _Spread:
    parts, n = (_spread(one), _spread(other)), min(len(i.values) for i in (*one, *other))
    seeds = parts[0].seeds + parts[1].seeds
    freedom = welch_freedom([p.seeds for p in parts], [p.freedom for p in parts])
    left, right = _pseudo_values(one), _pseudo_values(other)
    if not _common([*left, *right]):
        return _Spread(seeds, freedom, parts[0].items + parts[1].items, n)
    gaps = np.mean(left, 0) - np.mean(right, 0)
    of_items = float(np.var(gaps, ddof=1)) / n - _residual(left) - _residual(right)
    return _Spread(seeds, freedom, max(0.0, of_items), n)


def _common(outcomes: Sequence[Floats]) -> bool:
    """Whether all have the same items, and more than one."""
    return len({len(each) for each in outcomes}) == 1 and len(outcomes[0]) > 1


def _residual(outcomes: Sequence[Floats]) -> float:
    """The squared standard error that the mean has by what is a seed's and an item's alone."""
    table = np.stack(outcomes)
    rest = table - table.mean(0) - table.mean(1, keepdims=True) + table.mean()
    (seeds, n), squares = table.shape, float(np.sum(rest**2))
    squared_error: float = squares / ((seeds - 1) * (n - 1) * seeds * n)
    return squared_error


def _pseudo_values(row: Row) -> list[Floats]:
    """(items,) of each seed: their mean is its value; linear in the items' influence."""
    rows = []
    for items in row:
        top = np.asarray(items.values, dtype=np.float64)
        weights = np.ones_like(top) if items.weights is None else np.asarray(items.weights)
        value, weight = row_value([items]), float(weights.mean()) if len(top) else math.nan
        rows.append(value + (top - value * weights) / weight)
    return rows
