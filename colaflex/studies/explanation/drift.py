"""Does the best value of one setting depend on another? The drift test."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtri

from colaflex.statistics.intervals import Floats
from colaflex.studies.explanation.bell import Bell
from colaflex.studies.explanation.category_drift import p_same_centre
from colaflex.studies.explanation.evidence import Evidence, Knob
from colaflex.studies.explanation.explanation import Drift, Interval, LevelOptimum
from colaflex.studies.explanation.level_optima import Shape, level_optimum
from colaflex.studies.explanation.nuisance import levels_of, nuisance_columns
from colaflex.studies.explanation.slope import Slope, estimate_slope, without_slope

__all__ = ["LAW", "MIN_TRIALS", "drift"]

LAW = 0.5
"""Of the noise schedule's location, per unit of the logarithm of the latent dimension."""
MIN_TRIALS = 8
MANY = 8
"""Levels up to which each has its own intercept."""
GROUPS = 5
"""Into which trials are put along a setting of more levels."""


@dataclass(frozen=True, slots=True)
class _Pooled:
    """The trials of a drift test, and what was fitted to all of them."""

    x: Floats
    v: Floats
    y: Floats
    effects: Floats
    groups: NDArray[np.intp]
    bell: Bell
    slope: Slope


def drift(trials: Evidence, of: Knob, along: Knob, seed: int = 0) -> tuple[Drift | None, list[str]]:
    """The drift of the best `of` along `along`, and what has to be said of it.

    One bell over `of` is fitted to all trials; its centre moves by `slope` per unit of `along`,
    which has an intercept a level, and the effects of all other settings are added.

    Args:
        trials: the trials.
        of: a continuous setting.
        along: another setting.
        seed: of the resampling.
    """
    rows = of.known & along.known
    name = f"whether the best {of.path} depends on {along.path} can't be said"
    x, y = of.x[rows], trials.sign * trials.y[rows]
    if len(y) < MIN_TRIALS:
        return None, [f"{name}: it takes {MIN_TRIALS} trials, and there are {len(y)}."]
    if len(np.unique(along.x[rows])) < 2:
        return None, [f"{name}: all trials are at one level of {along.path}."]
    if len(np.unique(x)) < 4:
        return None, [f"{name}: it takes 4 values of {of.path}, and there are fewer."]
    if np.ptp(y) <= 1e-12 * np.abs(y).max():
        return None, [f"{name}: the objective is the same in all trials."]
    others = [knob for knob in trials.knobs if knob.path not in (of.path, along.path)]
    v = along.x[rows]
    intercepts = _intercepts(v, bool(along.labels))
    room = (len(y) - intercepts.shape[1] - 4) // 3
    nuisance, dropped = nuisance_columns(others, rows, y, max(room, 0))
    moves = np.zeros_like(v) if along.labels else v - v.mean()
    bell = Bell.of(x, moves, np.concatenate([intercepts, nuisance], 1))
    if bell.freedom < 3:
        return None, [f"{name}: {len(y)} trials are too few for {along.path}'s many levels."]
    slope = (without_slope if along.labels else estimate_slope)(bell, y, of.low, of.high, seed)
    effects = nuisance @ slope.fit.weights[intercepts.shape[1] :]
    pooled = _Pooled(x, v, y, effects, _groups(v, along), bell, slope)
    levels = _levels(pooled, of, along, trials.sign)
    p = slope.p_value
    if along.labels:
        p = p_same_centre(x, y, effects, pooled.groups, slope.fit, (of.low, of.high), seed)
    result = Drift(of.path, along.path, along.log, levels, slope.interval, p, _law(of, along))
    return result, _notes(result, slope, dropped)


def _law(of: Knob, along: Knob) -> float | None:
    named = of.path.endswith("schedule.loc") and along.path.endswith("latent_dim")
    return LAW if named and along.log and not of.log else None


def _intercepts(v: Floats, categories: bool) -> Floats:
    if categories or len(np.unique(v)) <= MANY:
        return levels_of(v)
    z = (v - v.mean()) / v.std()
    return np.stack([np.ones_like(z), z, z * z], 1)


def _groups(v: Floats, along: Knob) -> NDArray[np.intp]:
    """(n,) the level that each trial counts to."""
    if along.labels or len(np.unique(v)) <= MANY:
        return np.unique(v, return_inverse=True)[1].astype(np.intp)
    cuts = np.quantile(v, np.linspace(0, 1, GROUPS + 1)[1:-1])
    return np.unique(np.searchsorted(cuts, v), return_inverse=True)[1].astype(np.intp)


def _levels(pooled: _Pooled, of: Knob, along: Knob, sign: int) -> tuple[LevelOptimum, ...]:
    fit = pooled.slope.fit
    shape = Shape(fit.width, max(fit.height, 0.0), pooled.slope.variance)
    worse = float(fdtri(1, pooled.bell.freedom, 0.95))
    curve = np.linspace(of.low, of.high, 61)
    levels = []
    for group in range(int(pooled.groups.max()) + 1):
        here = pooled.groups == group
        x, y = pooled.x[here], (pooled.y - pooled.effects)[here]
        level = float(np.median(pooled.v[here]))
        at = level_optimum(x, y, shape, of.low, of.high, worse)
        heights = at.base + at.height * np.exp(-0.5 * ((curve - at.centre) / fit.width) ** 2)
        inside = min(max(at.centre, of.low), of.high)
        levels.append(
            LevelOptimum(
                along.plain(level),
                int(here.sum()),
                Interval(*(of.plain(end) for end in (inside, at.low, at.high))),
                tuple(of.plain(float(a)) for a in curve),
                tuple((sign * heights).tolist()),
                tuple((of.plain(float(a)), float(sign * b)) for a, b in zip(x, y, strict=True)),
                along.labels[int(level)] if along.labels else f"{along.plain(level):.4g}",
                not of.low < at.centre < of.high,
            )
        )
    return tuple(levels)


def _notes(drift: Drift, slope: Slope, dropped: list[str]) -> list[str]:
    """What has to be said of it."""
    pair = f"{drift.of} along {drift.along}"
    notes = []
    if slope.optimum_p_value > 0.05:
        notes.append(
            f"{pair}: no value of {drift.of} was clearly better than others"
            f" (p = {slope.optimum_p_value:.2g}), so that its best value is hardly known."
        )
    if math.isinf(drift.slope.low) or math.isinf(drift.slope.high):
        notes.append(f"{pair}: the trials set no bound to the slope on one side or both.")
    edges = [level.label for level in drift.levels if level.at_edge]
    if edges:
        notes.append(
            f"{pair}: at {', '.join(edges)} the best value lies at an end of the range, or beyond;"
            " a wider range would tell."
        )
    few = [level.label for level in drift.levels if level.trials < 3]
    if few:
        notes.append(f"{pair}: fewer than 3 trials at {', '.join(few)}.")
    if dropped:
        notes.append(
            f"{pair}: too few trials to take out the effects of {', '.join(dropped)}, too."
        )
    return notes
