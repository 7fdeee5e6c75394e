"""What a study teaches of its settings: importances, interactions, and the drift of optima."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from colaflex.studies.explanation.drift import MIN_TRIALS, drift
from colaflex.studies.explanation.evidence import SearchedSpace, evidence
from colaflex.studies.explanation.explanation import Explanation
from colaflex.studies.explanation.importance import importances, interactions
from colaflex.studies.explanation.surface import fit_surface
from colaflex.studies.trials import TrialRecord

__all__ = ["explain"]

LITTLE = 0.2


def explain(
    records: Sequence[TrialRecord],
    space: SearchedSpace,
    direction: Literal["higher", "lower"],
    seed: int = 0,
) -> Explanation:
    """Explain the first objective by the settings that were searched.

    Nothing raises for want of trials: what can't be said is left out, and a note says why.

    Args:
        records: trials in any state.
        space: what was searched.
        direction: which objectives are better.
        seed: of all resampling.
    """
    columns = evidence(records, space, direction)
    notes, trials = list(columns.notes), len(columns.y)
    if trials < MIN_TRIALS:
        notes.append(f"An explanation takes {MIN_TRIALS} complete trials, and there are {trials}.")
        return Explanation(trials, notes=tuple(notes))
    surface = fit_surface(columns)
    if surface is None:
        notes.append("Nothing to explain: the objective or all settings are the same everywhere.")
        return Explanation(trials, notes=tuple(notes))
    for knob in columns.knobs:
        if len(knob.levels) < 2:
            notes.append(f"{knob.path} had one value in all trials.")
    if surface.explained < LITTLE:
        notes.append(
            f"The searched settings explain about {surface.explained:.0%} of the objective's"
            " variance; how they share it is hardly known."
        )
    drifts = []
    for of in columns.knobs:
        for along in columns.knobs:
            if of.continuous and along is not of:
                result, remarks = drift(columns, of, along, seed)
                notes += remarks
                drifts += [] if result is None else [result]
    return Explanation(
        trials, importances(surface, seed), interactions(surface, seed), tuple(drifts), tuple(notes)
    )
