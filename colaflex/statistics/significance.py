"""Whether two rows differ: permutation tests and intervals over items, seeds kept apart.

A row is what one method gave: for each training seed the outcomes of a metric item by item. Its
value is the mean of the seeds' values, each seed counting the same. Items are what is resampled or
exchanged, each with its outcomes under all seeds (a cluster; Miller 2024,
https://arxiv.org/abs/2411.00640): what follows is true of these training runs on further items of
the kind. It says nothing of further training runs; `hierarchical` does.

To first order in 1/n a row is a ratio again, Σ numerators / Σ denominators over items, with the
seeds averaged; `pooled` makes it, and all else here works on it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from colaflex.interfaces.metric import Items, Measurement
from colaflex.statistics.draws import keyed_rng
from colaflex.statistics.intervals import Floats, proportion, studentised

__all__ = [
    "PERMUTATIONS",
    "difference_interval",
    "items_test",
    "paired_test",
    "pooled",
    "row_interval",
    "row_value",
    "seeds_interval",
    "unpaired_test",
    "welch_freedom",
    "welch_interval",
    "welch_test",
]

Row = Sequence[Items]
Masks = NDArray[np.uint8]

PERMUTATIONS = 9_999
ALL = 1 << 14  # so many arrangements or fewer are all gone through
_BLOCK = 1 << 21  # cells of permutations held in memory at a time
_TIE = 1e-9  # statistics nearer than this part of the largest are equal


def row_value(row: Row) -> float:
    """The mean over seeds of Σ values / Σ weights; NaN without seeds, items or weight."""
    return float(np.mean(_seed_values(row))) if row else math.nan


def pooled(row: Row) -> tuple[Floats, Floats]:
    """(items,) numerators and denominators that stand for all seeds of a row.

    Their sums' ratio is the row's value, the denominators' mean is 1, and deleting or repeating an
    item changes the ratio, to first order, as it changes the mean of the seeds' values. Of seeds
    with different numbers of items, each item is one of its own.
    """
    if not row:
        return np.zeros(0), np.zeros(0)
    numerators, denominators = [], []
    centre = row_value(row)
    with np.errstate(divide="ignore", invalid="ignore"):
        for value, (top, weights) in zip(_seed_values(row), map(_columns, row), strict=True):
            weight = weights.sum() / len(weights)
            numerators.append((top - (value - centre) * weights) / weight)
            denominators.append(weights / weight)
    lengths = [len(each) for each in numerators]
    if len(set(lengths)) == 1:
        return np.mean(numerators, 0), np.mean(denominators, 0)
    # Every seed has the same share of the whole, however many items it has.
    shares = [sum(lengths) / (len(lengths) * length) for length in lengths]
    return (
        np.concatenate([share * top for share, top in zip(shares, numerators, strict=True)]),
        np.concatenate([share * under for share, under in zip(shares, denominators, strict=True)]),
    )


def paired_test(one: Row, other: Row, *key: object, permutations: int = PERMUTATIONS) -> float:
    """Two-sided p of two rows on the same items, by exchanging the rows' outcomes of items.

    An item is exchanged whole: numerators, denominators and all seeds at once. All 2^n exchanges of
    the n items in which the rows differ are gone through where they are at most 2^14; else random
    ones, and p = (1 + b) / (1 + m) with b of m at least as far apart as what was observed. Of
    values that are not finite nothing is known: p = 1.

    Raises:
        ValueError: the rows have different numbers of items.
    """
    n1, d1, n2, d2 = _pairs(one, other)
    gap = np.stack([n1 - n2, d1 - d2], 1)
    if not np.isfinite(gap).all():
        return 1.0
    gap = gap[np.any(gap != 0, 1)]
    sums = np.array([n1.sum(), d1.sum(), n2.sum(), d2.sum()])

    def statistic(exchanged: Floats) -> Floats:
        moved = exchanged @ gap
        left, right = sums[:2] - moved, sums[2:] + moved
        return np.asarray(left[:, 0] / left[:, 1] - right[:, 0] / right[:, 1])

    items = len(gap)
    if 2**items <= ALL:
        every = (np.arange(2**items)[:, None] >> np.arange(items) & 1).astype(np.uint8)
        return _p_value(statistic, every)
    rng = keyed_rng("exchange", items, permutations, *key)
    packed = rng.integers(0, 256, (1 + permutations, -(-items // 8)), dtype=np.uint8)
    packed[0] = 0  # nothing exchanged is what was observed
    return _p_value(statistic, np.unpackbits(packed, axis=1, count=items))


def unpaired_test(one: Row, other: Row, *key: object, permutations: int = PERMUTATIONS) -> float:
    """Two-sided p of two rows on items of their own, by dealing all items anew.

    The statistic is the difference over its standard error: so the test is exact where the rows'
    items have the same distribution, and right for many items where only the rows' values are equal
    (Chung and Romano 2013). Enumerated or drawn as in `paired_test`.
    """
    # In an order that is the same whichever comes first.
    long, short = sorted((pooled(one), pooled(other)), key=lambda row: (-len(row[0]), row[0].sum()))
    first, items = len(long[0]), len(long[0]) + len(short[0])
    top, under = (np.concatenate(pair) for pair in zip(long, short, strict=True))
    if len(short[0]) < 2 or not np.isfinite(top).all():
        return 1.0
    top = top - top.sum() / under.sum() * under  # near 0, so that squares lose no digits
    columns = np.stack([top, under, top**2, top * under, under**2], 1)
    whole = columns.sum(0)

    def statistic(dealt: Floats) -> Floats:
        sums = dealt @ columns
        (left, width), (right, breadth) = (
            _moments(sums, first),
            _moments(whole - sums, items - first),
        )
        return np.asarray((left - right) / np.sqrt(width + breadth))

    if math.comb(items, first) <= ALL:
        chosen = np.array(list(combinations(range(items), first)))
        every = np.zeros((len(chosen), items), dtype=np.uint8)
        np.put_along_axis(every, chosen, 1, 1)
        return _p_value(statistic, every)
    rng = keyed_rng("deal", items, first, permutations, *key)
    observed = (np.arange(items) < first).astype(np.uint8)[None]
    drawn = rng.permuted(np.repeat(observed, permutations, 0), axis=1)
    return _p_value(statistic, np.concatenate([observed, drawn]))


def _pairs(one: Row, other: Row) -> tuple[Floats, Floats, Floats, Floats]:
    """Numerators and denominators of both rows, pooled."""
    (n1, d1), (n2, d2) = pooled(one), pooled(other)
    if len(n1) != len(n2):
        raise ValueError(f"{len(n1)} items and {len(n2)} are no pairs")
    return n1, d1, n2, d2


def items_test(one: Row, other: Row, *key: object, permutations: int = PERMUTATIONS) -> float:
    """Two-sided p of two rows over items; the same whichever comes first.

    In pairs where all seeds of both have as many, which then are the same ones (those of one
    board), else unpaired.
    """
    sizes = {len(items.values) for items in (*one, *other)}
    test = paired_test if len(sizes) == 1 else unpaired_test
    return test(one, other, *key, permutations=permutations)


def welch_test(one: Sequence[float], other: Sequence[float]) -> float:
    """Two-sided p of the values of two rows' seeds (Welch's t); 1 with fewer than two of either.

    For rows whose items are unknown. It speaks of training runs, and with three a row sees only
    large differences.
    """
    if min(len(one), len(other)) < 2:
        return 1.0
    gap, variance, freedom = _welch(one, other)
    if not math.isfinite(gap) or gap == 0:
        return 1.0
    if variance == 0:
        return 0.0
    return 2 * float(stdtr(freedom, -abs(gap) / math.sqrt(variance)))


def welch_interval(one: Sequence[float], other: Sequence[float]) -> Measurement:
    """The mean of `one` minus that of `other`, with the interval that belongs to `welch_test`.

    n is the number of values; with fewer than two of either the interval is NaN.
    """
    n = len(one) + len(other)
    if not one or not other:
        return Measurement(math.nan, math.nan, math.nan, n)
    if min(len(one), len(other)) < 2:
        return Measurement(float(np.mean(one) - np.mean(other)), math.nan, math.nan, n)
    gap, variance, freedom = _welch(one, other)
    half = float(stdtrit(freedom, 0.975)) * math.sqrt(variance) if variance > 0 else 0.0
    return Measurement(gap, gap - half, gap + half, n)


def _welch(one: Sequence[float], other: Sequence[float]) -> tuple[float, float, float]:
    """The difference of means, its squared standard error, its degrees of freedom."""
    parts = [float(np.var(values, ddof=1)) / len(values) for values in (one, other)]
    freedom = welch_freedom(parts, (len(one) - 1, len(other) - 1))
    return float(np.mean(one) - np.mean(other)), sum(parts), freedom


def welch_freedom(variances: Sequence[float], freedoms: Sequence[float]) -> float:
    """Degrees of freedom of a sum of variances; by their shares, as squares of tiny ones are 0."""
    whole = sum(variances)
    if not whole > 0:
        return math.inf
    shares = [variance / whole for variance in variances]
    return 1 / sum(share**2 / freedom for share, freedom in zip(shares, freedoms, strict=True))


def row_interval(row: Row, *key: object, resamples: int = 1000) -> Measurement:
    """A row's value with its 95 % interval over items; the seeds stay as they are.

    Wilson's interval where all outcomes are counts of trials (whole numbers from 0 to their
    weights), else a bootstrap-t.
    """
    top, under = pooled(row)
    if len(top) and all(map(_counts, row)):
        trials = sum(float(weights.sum()) for _, weights in map(_columns, row)) / len(top)
        return proportion(top * trials, under * trials)
    columns = np.stack([top, under], 1)[under > 0]
    return studentised(columns, (1,), *key, resamples=resamples)


def difference_interval(one: Row, other: Row, *key: object, resamples: int = 1000) -> Measurement:
    """`one` minus `other` on the same items, with its 95 % interval over items.

    Items are drawn with the outcomes of both rows (a paired bootstrap-t), the seeds stay as they
    are.

    Raises:
        ValueError: different numbers of items.
    """
    columns = np.stack(_pairs(one, other), 1)
    return studentised(columns, (1, -1), *key, resamples=resamples)


def seeds_interval(
    values: Sequence[float], lowest: float = -math.inf, highest: float = math.inf
) -> Measurement:
    """The mean over seeds with Student's t interval, for rows whose items are unknown; n = seeds.

    It speaks of training runs, and of three it is wide: ±2.5 standard deviations.

    Args:
        values: one a seed.
        lowest: least value that is possible; the interval ends there.
        highest: greatest value that is possible.
    """
    n = len(values)
    if n < 2:
        return Measurement(values[0] if n else math.nan, math.nan, math.nan, n)
    value = float(np.mean(values))
    half = float(stdtrit(n - 1, 0.975)) * float(np.std(values, ddof=1)) / math.sqrt(n)
    return Measurement(value, max(value - half, lowest), min(value + half, highest), n)


def _columns(items: Items) -> tuple[Floats, Floats]:
    values = np.asarray(items.values, dtype=np.float64)
    if items.weights is None:
        return values, np.ones_like(values)
    return values, np.asarray(items.weights, dtype=np.float64)


def _seed_values(row: Row) -> list[float]:
    sums = [(float(top.sum()), float(weights.sum())) for top, weights in map(_columns, row)]
    return [top / weights if weights > 0 else math.nan for top, weights in sums]


def _counts(items: Items) -> bool:
    top, weights = _columns(items)
    whole = np.all(top == np.round(top)) and np.all(weights == np.round(weights))
    return bool(whole and np.all(top >= 0) and np.all(top <= weights))


def _moments(sums: Floats, items: int) -> tuple[Floats, Floats]:
    """A ratio and its squared standard error from the sums of n, d, n², nd, d²."""
    value = sums[:, 0] / sums[:, 1]
    squares = sums[:, 2] - 2 * value * sums[:, 3] + value**2 * sums[:, 4]
    return value, np.maximum(squares, 0) / sums[:, 1] ** 2 * items / (items - 1)


def _p_value(statistic: Callable[[Floats], Floats], masks: Masks) -> float:
    """The share of arrangements at least as far apart as the observed one, which is the first.

    One for which the statistic is undefined counts among them.
    """
    rows = max(1, _BLOCK // max(1, masks.shape[1]))
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.abs(
            np.concatenate(
                [
                    statistic(masks[start : start + rows].astype(np.float64))
                    for start in range(0, len(masks), rows)
                ]
            )
        )
    rounding = _TIE * np.max(apart, where=np.isfinite(apart), initial=0.0)
    return float(np.mean(~(apart < apart[0] - rounding)))
