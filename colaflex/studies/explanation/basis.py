"""Smooth functions of one setting, orthonormal over its range and without a mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from colaflex.statistics.intervals import Floats
from colaflex.studies.explanation.evidence import Knob

__all__ = ["Basis", "basis_of"]

WAVES = 6
FEW = 8
"""Levels up to which a number is taken for one of a few, all equally likely."""


@dataclass(frozen=True, slots=True)
class Basis:
    """Functions, as they are in each trial.

    Attributes:
        columns: (trials, functions); 0 where the setting has no meaning.
        weights: (functions,) how much of the variance each is expected to have; they add up to 1.
    """

    columns: Floats
    weights: Floats

    def times(self, other: Basis) -> Basis:
        """Their products: functions of both settings that neither has alone."""
        columns = self.columns[:, :, None] * other.columns[:, None, :]
        weights = self.weights[:, None] * other.weights
        return Basis(columns.reshape(len(columns), -1), weights.ravel())


def basis_of(knob: Knob) -> Basis | None:
    """Cosines of a number, slow ones expected to matter more; contrasts of categories.

    None where the setting has one value in all trials.
    """
    levels, known = knob.levels, knob.known
    if len(levels) < 2:
        return None
    if knob.labels:
        place = np.searchsorted(levels, np.where(known, knob.x, levels[0]))
        square = np.eye(len(levels)) - 1 / len(levels)
        contrasts = np.linalg.svd(square)[0][:, :-1] * np.sqrt(len(levels))
        columns = contrasts[place]
        weights: Floats = np.ones(len(levels) - 1)
    else:
        if len(levels) <= FEW and not knob.continuous:
            place = np.searchsorted(levels, np.where(known, knob.x, levels[0]))
            u, waves = (place + 0.5) / len(levels), min(WAVES, len(levels) - 1)
        else:
            u = (np.where(known, knob.x, knob.low) - knob.low) / (knob.high - knob.low)
            waves = WAVES
        frequency = np.arange(1, waves + 1)
        columns = np.sqrt(2) * np.cos(np.pi * u[:, None] * frequency)
        weights = np.asarray(frequency**-4.0)
    return Basis(columns * known[:, None], np.asarray(weights / weights.sum()))
