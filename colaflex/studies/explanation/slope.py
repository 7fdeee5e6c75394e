"""The slope of a bell's centre, with a bootstrap interval and a test that there is none."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import fdtr, fdtri

from colaflex.statistics.intervals import Floats
from colaflex.studies.explanation.bell import Bell, Fit, Grid
from colaflex.studies.explanation.explanation import Interval

__all__ = ["Slope", "estimate_slope", "redrawn", "without_slope"]

RESAMPLES = 500


@dataclass(frozen=True, slots=True)
class Slope:
    """What is known of the slope.

    Attributes:
        interval: its value, and its ends; infinite where the data set no bound.
        p_value: of the hypothesis that it is 0.
        fit: the best bell.
        variance: of the errors.
        optimum_p_value: of the hypothesis that x does not matter at all.
    """

    interval: Interval
    p_value: float
    fit: Fit
    variance: float
    optimum_p_value: float


def estimate_slope(bell: Bell, y: Floats, low: float, high: float, seed: int) -> Slope:
    """Estimate it.

    The interval holds the slopes at which the best bell fits hardly worse than the best of all, by
    the ratio of their sums of squares. How much worse is still "hardly" is learnt by the wild
    bootstrap: what was fitted plus residuals with random signs. Where F's quantile is larger, it
    counts. Whether no slope fits hardly worse is learnt by the bootstrap of the best bell without
    slope, and the interval reaches to 0 if it does: without 0, the p-value is at most 0.05.

    Args:
        bell: the model.
        y: (n,) what was measured; more is better.
        low: end of the range of x.
        high: the other end.
        seed: of the resampling.
    """
    rng = np.random.default_rng(seed)
    left = bell.residual(y)
    whole = Grid.over(low, high, float(np.ptp(bell.v)))
    coarse = bell.profile(left[:, None], whole)[:, 0]
    fine_grid = bell.near(left, whole, 25 * _variance(bell, left, float(coarse.max())))
    fine = bell.profile(left[:, None], fine_grid)[:, 0]
    slope, best = (float(a[0]) for a in _peak(fine[:, None], fine_grid.slopes))
    variance = _variance(bell, left, best)
    fit = bell.fit(y, fine_grid, slope)

    drawn = _ratios(bell, redrawn(fit, y, rng, RESAMPLES), fine_grid, slope)
    worse = max(float(np.quantile(drawn, 0.95)), float(fdtri(1, bell.freedom, 0.95)))
    slopes = np.concatenate([whole.slopes, fine_grid.slopes])
    order = np.argsort(slopes, kind="stable")
    low_end, high_end = _crossings(
        slopes[order], np.concatenate([coarse, fine])[order], best - worse * variance, slope
    )
    p = _p_no_slope(bell, y, left, whole, fine_grid, best, variance, rng)
    if p > 0.05:
        low_end, high_end = min(low_end, 0.0), max(high_end, 0.0)
    return Slope(
        Interval(slope, low_end, high_end),
        p,
        fit,
        variance,
        _p_no_optimum(bell, y, left, whole, rng),
    )


def without_slope(bell: Bell, y: Floats, low: float, high: float, seed: int) -> Slope:
    """The best bell whose centre stays where it is; its slope is not a number.

    Args:
        bell: the model.
        y: (n,) what was measured; more is better.
        low: end of the range of x.
        high: the other end.
        seed: of the resampling.
    """
    left = bell.residual(y)
    flat = replace(Grid.over(low, high, 1.0), slopes=np.zeros(1))
    best = float(bell.profile(left[:, None], flat)[0, 0])
    variance = _variance(bell, left, best)
    fit = bell.fit(y, bell.near(left, flat, 25 * variance), 0.0)
    p = _p_no_optimum(bell, y, left, flat, np.random.default_rng(seed))
    return Slope(Interval(math.nan, math.nan, math.nan), math.nan, fit, variance, p)


def redrawn(fit: Fit, y: Floats, rng: np.random.Generator, times: int) -> Floats:
    """(n, times) what was fitted plus residuals with random signs (wild bootstrap)."""
    errors = (y - fit.values) / np.sqrt(np.maximum(1 - fit.leverages, 0.1))
    signs = rng.choice([-1.0, 1.0], (len(y), times))
    return np.asarray(fit.values[:, None] + errors[:, None] * signs)


def _variance(bell: Bell, left: Floats, gain: float) -> float:
    return max(float(left @ left) - gain, 1e-12 * float(left @ left)) / bell.freedom


def _peak(profile: Floats, slopes: Floats) -> tuple[Floats, Floats]:
    """Of each column of a profile: where it is greatest, by a parabola, and how great."""
    at = np.clip(profile.argmax(0), 1, len(slopes) - 2)
    columns = np.arange(profile.shape[1])
    before, here, after = (profile[at + step, columns] for step in (-1, 0, 1))
    bend = np.minimum(before - 2 * here + after, -1e-300)
    offset = np.clip(0.5 * (before - after) / bend, -0.5, 0.5)
    value = np.maximum(here - 0.25 * (before - after) * offset, profile.max(0))
    return slopes[at] + offset * (slopes[1] - slopes[0]), value


def _ratios(bell: Bell, y: Floats, grid: Grid, slope: float) -> Floats:
    """How much worse the true slope fits than the best one, in units of the errors' variance."""
    left = bell.residual(y)
    profile = bell.profile(left, grid)
    best = np.maximum(_peak(profile, grid.slopes)[1], 0)
    at = (slope - grid.slopes[0]) / (grid.slopes[1] - grid.slopes[0])
    first = min(max(int(at), 0), len(grid.slopes) - 2)
    true = profile[first] + (at - first) * (profile[first + 1] - profile[first])
    squares = np.einsum("ij,ij->j", left, left)
    variance = np.maximum(squares - best, 1e-12 * squares) / bell.freedom
    return np.asarray((best - true) / variance)


def _crossings(slopes: Floats, profile: Floats, need: float, slope: float) -> tuple[float, float]:
    """The ends of where a profile is as great as it needs to be."""
    inside = np.nonzero(profile >= need)[0]
    if not len(inside):
        return slope, slope

    def end(at: int, step: int) -> float:
        if not 0 <= at + step < len(slopes):
            return step * math.inf
        high, low = float(profile[at]), float(profile[at + step])
        share = (high - need) / (high - low) if high > low else 0.0
        return float(slopes[at] + share * (slopes[at + step] - slopes[at]))

    low, high = end(int(inside[0]), -1), end(int(inside[-1]), 1)
    return min(low, slope), max(high, slope)


def _p_no_slope(
    bell: Bell,
    y: Floats,
    left: Floats,
    whole: Grid,
    fine: Grid,
    best: float,
    variance: float,
    rng: np.random.Generator,
) -> float:
    """By the bootstrap of the best bell without slope; or by F, if that is larger."""
    flat = replace(whole, slopes=np.zeros(1))
    grid = bell.near(left, flat, 25 * variance)
    without = float(bell.profile(left[:, None], replace(grid, slopes=np.zeros(1)))[0, 0])
    half = (fine.slopes[-1] - fine.slopes[0]) / 2
    grid = replace(grid, slopes=np.linspace(-half, half, 41))
    drawn = redrawn(bell.fit(y, grid, 0.0), y, rng, RESAMPLES)
    ratio = max(best - without, 0.0) / variance
    p = (1 + int((_ratios(bell, drawn, grid, 0.0) >= ratio).sum())) / (1 + RESAMPLES)
    return max(p, 1 - float(fdtr(1, bell.freedom, ratio)))


def _p_no_optimum(
    bell: Bell, y: Floats, left: Floats, whole: Grid, rng: np.random.Generator
) -> float:
    """By the bootstrap of the linear part alone."""
    rough = Grid(whole.widths[::2], whole.centres[::3], whole.slopes[::10])
    leverages = np.einsum("ij,ij->i", bell.basis, bell.basis)
    errors = left / np.sqrt(np.maximum(1 - leverages, 0.1))
    drawn = bell.residual(errors[:, None] * rng.choice([-1.0, 1.0], (len(y), RESAMPLES)))

    def share(columns: Floats) -> Floats:
        squares = np.einsum("ij,ij->j", columns, columns)
        return np.asarray(bell.profile(columns, rough).max(0) / squares)

    return (1 + int((share(drawn) >= share(left[:, None])[0]).sum())) / (1 + RESAMPLES)
