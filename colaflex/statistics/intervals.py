"""95 % intervals of means, ratios, shares and corpus-level statistics; items are resampled.

The item is a document or a sample, never a token: tokens of one document depend on each other.
Without items every statistic is NaN with n = 0. From a single item the value is known and its
interval NaN, as is that of a value that is not finite. A share's interval is Wilson's: [0, 1]
without items, and one item suffices for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri, stdtrit

from colaflex.interfaces.metric import Measurement
from colaflex.statistics.draws import keyed_rng

__all__ = [
    "Floats",
    "bootstrap",
    "jackknife",
    "mean",
    "proportion",
    "ratio",
    "studentised",
    "wilson",
]

Floats = NDArray[np.float64]
Z = float(ndtri(0.975))
_BLOCK = 1 << 21  # resampling weights held in memory at a time
_GROUPS = 256  # deletions that estimate the acceleration


def wilson(successes: float, trials: float, n: int | None = None) -> Measurement:
    """Wilson's score interval of a share of independent trials.

    Args:
        successes: trials that succeeded.
        trials: how many there were; may be an effective, fractional number.
        n: items to report, by default the trials.
    """
    items = round(trials) if n is None else n
    if trials <= 0:
        return Measurement(math.nan, 0.0, 1.0, items)
    share, z2 = successes / trials, Z * Z / trials
    centre = (share + z2 / 2) / (1 + z2)
    half = Z / (1 + z2) * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials))
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == trials else min(1.0, centre + half)
    return Measurement(share, min(low, share), max(high, share), items)


def proportion(successes: ArrayLike, trials: ArrayLike | None = None) -> Measurement:
    """The pooled share of successes, where an item holds any number of dependent trials.

    Wilson's interval at the effective number of trials: that at which independent ones would vary
    as much as the items do (Korn and Graubard 1998, with their factor for few items). A share of
    exactly 0 or 1 shows no variation; there an item counts as one trial.

    Args:
        successes: (items,) successful trials of each.
        trials: (items,) trials of each, one by default; items without any are left out.
    """
    wins = np.asarray(successes, dtype=np.float64)
    tries = np.ones_like(wins) if trials is None else np.asarray(trials, dtype=np.float64)
    wins, tries = wins[tries > 0], tries[tries > 0]
    items, total = len(wins), float(tries.sum())
    if items == 0:
        return wilson(0, 0)
    share = float(wins.sum()) / total
    if items == 1 or share in (0.0, 1.0):
        return wilson(share * items, items, items)
    residual = wins - share * tries
    variance = float(residual @ residual) * items / (items - 1) / total**2
    effective = total if variance == 0 else min(total, share * (1 - share) / variance)
    if np.any(tries > 1):
        effective *= (Z / float(stdtrit(items - 1, 0.975))) ** 2
    return wilson(share * effective, effective, items)


def mean(values: ArrayLike, *key: object, resamples: int = 1000) -> Measurement:
    """The mean over items, with a BCa bootstrap interval."""
    column = np.asarray(values, dtype=np.float64)
    return ratio(column, np.ones_like(column), *key, resamples=resamples)


def ratio(
    numerators: ArrayLike, denominators: ArrayLike, *key: object, resamples: int = 1000
) -> Measurement:
    """Sum over sum, e.g. nats over tokens, with a BCa bootstrap interval over items.

    Args:
        numerators: (items,).
        denominators: (items,), at least 0; items with 0 count nothing and are left out.
        key: what the draws are keyed by.
        resamples: bootstrap resamples.
    """
    over = np.asarray(denominators, dtype=np.float64)
    top = np.asarray(numerators, dtype=np.float64)[over > 0]
    over = over[over > 0]
    columns = np.stack([top, over], 1)

    def statistic(weights: Floats) -> Floats:
        sums = weights @ columns
        return sums[:, 0] / sums[:, 1]

    return bootstrap(statistic, len(top), *key, resamples=resamples)


def bootstrap(
    statistic: Callable[[Floats], Floats],
    n: int,
    *key: object,
    resamples: int = 1000,
    method: Literal["bca", "percentile"] = "bca",
) -> Measurement:
    """A statistic of n items with its bootstrap interval.

    Right for statistics that are smooth in the items' weights; where a repeated item distorts (the
    number of distinct words), use `jackknife`.

    Args:
        statistic: maps (resamples, n) weights, how often each item was drawn, to (resamples,).
        n: number of items.
        key: what the draws are keyed by.
        resamples: number of resamples.
        method: "bca" corrects bias and skewness (Efron 1987); "percentile" does not.
    """
    if n == 0:
        return Measurement(math.nan, math.nan, math.nan, 0)
    value = float(statistic(np.ones((1, n)))[0])
    if n == 1 or not math.isfinite(value):
        return Measurement(value, math.nan, math.nan, n)
    drawn = np.sort(_resampled(statistic, keyed_rng("bootstrap", n, *key), n, resamples))
    tails = np.array([0.025, 0.975])
    if method == "bca":
        tails = _bca_tails(tails, value, drawn, _acceleration(statistic, n))
    low, high = np.quantile(drawn, tails)
    return Measurement(value, float(low), float(high), n)


def studentised(
    columns: ArrayLike, signs: Sequence[float], *key: object, resamples: int = 1000
) -> Measurement:
    """A signed sum of ratios over the same items, with its bootstrap-t interval.

    What is resampled is the value over its standard error (by the delta method), which covers
    better than BCa where few items or heavy ones decide (Hall 1988): of 256 documents of very
    different lengths 94.3 % against 93.4 %, of 64 93.6 % against 91.4 %.

    Args:
        columns: (items, 2 · ratios), numerators and denominators in turn; as `ratio`'s.
        signs: (ratios,), e.g. (1, -1) for a difference.
        key: what the draws are keyed by.
        resamples: bootstrap resamples.
    """
    table = np.array(columns, dtype=np.float64)
    turns = np.asarray(signs, dtype=np.float64)
    n, width = table.shape
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = table[:, ::2].sum(0) / table[:, 1::2].sum(0)
    value = float(turns @ ratios)
    if n < 2 or not math.isfinite(value):
        return Measurement(value, math.nan, math.nan, n)
    table[:, ::2] -= ratios * table[:, 1::2]  # all ratios are 0 now: squares lose no digits
    products = (table[:, :, None] * table[:, None]).reshape(n, width**2)

    def estimate(weights: Floats) -> Floats:
        sums = (weights @ table).reshape(-1, width // 2, 2)
        moved = sums[..., 0] / sums[..., 1]
        slopes = np.stack([turns / sums[..., 1], -turns * moved / sums[..., 1]], -1)
        slopes = slopes.reshape(-1, width)
        moments = (weights @ products).reshape(-1, width, width)
        squares = np.einsum("ri,rij,rj->r", slopes, moments, slopes)
        error = np.sqrt(np.maximum(squares, 0) * n / (n - 1))
        return np.stack([moved @ turns, error], 1)

    with np.errstate(divide="ignore", invalid="ignore"):
        error = float(estimate(np.ones((1, n)))[0, 1])
        drawn = _resampled(estimate, keyed_rng("studentised", n, *key), n, resamples)
    # An item drawn n times shows no variation, and rounding instead of none.
    drawn = drawn[drawn[:, 1] > 1e-6 * error]
    away = drawn[:, 0] / drawn[:, 1]
    if not len(away):  # nothing varies
        return Measurement(value, value, value, n)
    ends = value - error * np.quantile(away, [0.975, 0.025])
    return Measurement(value, min(value, float(ends[0])), max(value, float(ends[1])), n)


def _resampled(
    statistic: Callable[[Floats], Floats], rng: np.random.Generator, n: int, resamples: int
) -> Floats:
    """A statistic of n items under so many resamples, as many at a time as memory should hold."""
    rows = max(1, _BLOCK // n)
    sizes = [min(rows, resamples - start) for start in range(0, resamples, rows)]
    return np.concatenate([statistic(_weights(rng, size, n)) for size in sizes])


def _weights(rng: np.random.Generator, rows: int, n: int) -> Floats:
    drawn = rng.integers(0, n, (rows, n)) + n * np.arange(rows)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=rows * n).astype(np.float64)
    return counts.reshape(rows, n)


def _bca_tails(tails: Floats, value: float, drawn: Floats, acceleration: float) -> Floats:
    """The quantiles of the bootstrap distribution that bound the BCa interval."""
    spread = 1e-12 * max(1.0, abs(value))  # rounding must not turn a tie into a bias
    below = np.mean(drawn < value - spread)
    ties = np.mean(np.abs(drawn - value) <= spread)
    floor = 0.5 / len(drawn)
    bias = float(ndtri(np.clip(below + ties / 2, floor, 1 - floor)))
    shifted = bias + ndtri(tails)
    return np.asarray(ndtr(bias + shifted / np.maximum(1 - acceleration * shifted, 0.1)))


def _acceleration(statistic: Callable[[Floats], Floats], n: int) -> float:
    """Skewness of the items' influence over 6, from deleting items, or groups of many."""
    groups = min(n, _GROUPS)
    others = np.arange(n) % groups != np.arange(groups)[:, None]
    left = np.concatenate([statistic(row[None].astype(np.float64)) for row in others])
    influence = left.mean() - left
    largest = float(np.abs(influence).max())
    if largest == 0:
        return 0.0
    influence /= largest  # powers of tiny numbers underflow
    cubes, squares = float(np.sum(influence**3)), float(np.sum(influence**2))
    return cubes / (6 * math.sqrt(squares) ** 3)


def jackknife(
    value: float, left_out: ArrayLike, lowest: float = -math.inf, highest: float = math.inf
) -> Measurement:
    """A statistic with the interval of the delete-one jackknife (Student's t).

    By Efron and Stein's inequality its variance errs upwards, for any symmetric statistic.

    Args:
        value: the statistic of all items.
        left_out: (items,) the statistic without each of them.
        lowest: least value that is possible; the interval ends there.
        highest: greatest value that is possible.
    """
    left = np.asarray(left_out, dtype=np.float64)
    n = len(left)
    if n == 0:
        return Measurement(math.nan, math.nan, math.nan, 0)
    if n == 1:
        return Measurement(value, math.nan, math.nan, 1)
    half = float(stdtrit(n - 1, 0.975)) * math.sqrt((n - 1) * float(np.var(left)))
    return Measurement(value, max(value - half, lowest), min(value + half, highest), n)
