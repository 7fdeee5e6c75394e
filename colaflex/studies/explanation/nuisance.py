"""Columns that take out what other settings do, added up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from colaflex.statistics.intervals import Floats
from colaflex.studies.explanation.evidence import Booleans, Knob

__all__ = ["levels_of", "nuisance_columns"]

FEW = 4
"""Levels that each get a column of their own."""


def nuisance_columns(
    knobs: Sequence[Knob], rows: Booleans, y: Floats, room: int
) -> tuple[Floats, list[str]]:
    """Centred columns for settings, and the paths of those there was no room for.

    A category or a number of few levels has a column a level; other numbers a parabola, or a
    straight line where room is short. Those that explain least go first.

    Args:
        knobs: the settings.
        rows: the trials that count.
        y: (rows,) what was measured.
        room: columns at most.
    """
    columns_of = [(knob.path, _columns(knob, rows, 2)) for knob in knobs]
    if sum(columns.shape[1] for _, columns in columns_of) > room:
        columns_of = [(knob.path, _columns(knob, rows, 1)) for knob in knobs]
    columns_of = [(path, columns) for path, columns in columns_of if columns.shape[1]]
    columns_of.sort(key=lambda item: -_explained(item[1], y))
    chosen, dropped, used = [np.empty((len(y), 0))], [], 0
    for path, columns in columns_of:
        if used + columns.shape[1] > room:
            dropped.append(path)
        else:
            chosen.append(columns)
            used += columns.shape[1]
    return np.concatenate(chosen, 1), dropped


def levels_of(x: Floats) -> Floats:
    """(n, levels) which level each is at."""
    return np.asarray((x[:, None] == np.unique(x)).astype(np.float64))


def _columns(knob: Knob, rows: Booleans, degree: int) -> Floats:
    x = knob.x[rows]
    known = np.isfinite(x)
    if not known.any():
        return np.empty((len(x), 0))
    levels = np.unique(x[known])
    if knob.labels or len(levels) <= FEW:
        columns = levels_of(np.where(known, x, np.inf))[:, 1:]
    else:
        middle, spread = float(x[known].mean()), max(float(x[known].std()), 1e-12)
        z = np.where(known, (x - middle) / spread, 0.0)
        columns = np.stack([z, z * z - 1][:degree] + ([] if known.all() else [known * 1.0]), 1)
    return np.asarray(columns - columns.mean(0))


def _explained(columns: Floats, y: Floats) -> float:
    """The share of variance, adjusted for the number of columns."""
    total = float(((y - y.mean()) ** 2).sum())
    fitted = columns @ np.linalg.lstsq(columns, y - y.mean(), rcond=1e-10)[0]
    free = max(len(y) - 1 - int(columns.shape[1]), 1)
    share = float(fitted @ fitted) / max(total, 1e-300)
    return 1.0 - (1 - share) * (len(y) - 1) / free
