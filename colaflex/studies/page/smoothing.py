"""A smooth surface through noisy trials, for the eye."""

from __future__ import annotations

import numpy as np

from colaflex.statistics.intervals import Floats

__all__ = ["smooth"]

_PENALTIES = tuple(10.0**power for power in (-2, -1, 0, 1, 2))
_FOLDS = 5
_NEAR = 0.22


def smooth(
    places: Floats, values: Floats, steps: Floats, reach: tuple[float, float] = (_NEAR, _NEAR)
) -> Floats | None:
    """Values on a grid over the unit square, NaN far from all trials; None where nothing fits.

    A thin-plate spline whose smoothness predicts left-out trials best, held within the range of
    the values: what the other settings do to the objective is noise to it.

    Args:
        places: (trials, 2) in the unit square.
        values: of the trials.
        steps: of the grid, along both axes.
        reach: how far along each axis a trial is near.
    """
    from scipy.spatial.distance import cdist

    if len(values) < 4 or any(np.ptp(places[:, axis]) == 0 for axis in (0, 1)):
        return None
    grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    try:
        errors = [_left_out(places, values, penalty) for penalty in _PENALTIES]
        fitted = _fit(places, values, _PENALTIES[int(np.argmin(errors))], grid)
    except (np.linalg.LinAlgError, ValueError):  # all trials on one line
        return None
    fitted = np.clip(fitted, values.min(), values.max())
    fitted[cdist(grid / reach, places / reach).min(axis=1) > 1] = np.nan
    return np.asarray(fitted.reshape(len(steps), len(steps)))


def _left_out(places: Floats, values: Floats, penalty: float) -> float:
    """The squared error of predicting each fifth of the trials from the others."""
    error, fold = 0.0, np.arange(len(values)) % _FOLDS
    for left in range(min(_FOLDS, len(values))):
        kept = fold != left
        predicted = _fit(places[kept], values[kept], penalty, places[~kept])
        error += float(np.sum((predicted - values[~kept]) ** 2))
    return error


def _fit(places: Floats, values: Floats, penalty: float, at: Floats) -> Floats:
    from scipy.interpolate import RBFInterpolator

    spline = RBFInterpolator(places, values, kernel="thin_plate_spline", smoothing=penalty)
    return np.asarray(spline(at), dtype=np.float64)
