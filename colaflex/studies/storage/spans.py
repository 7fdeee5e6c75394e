"""When a trial ran, however often it was stopped and taken up again."""

from __future__ import annotations

from datetime import datetime

import optuna
from optuna.trial import FrozenTrial, TrialState

__all__ = ["earlier_seconds", "note_span", "spans_of"]

SPANS = "spans"
SAME = 1e-3
"""Seconds within which two beginnings are one, as storages round them."""
Span = tuple[float, float]
"""Beginning and end, in seconds since 1970."""


def note_span(study: optuna.Study, trial: FrozenTrial, end: float) -> None:
    """Remember that a trial which is to wait has run until then; the storage forgets it."""
    if trial.datetime_start is not None:
        begin = trial.datetime_start.timestamp()
        spans = [*_earlier(trial), (begin, max(begin, end))]
        study._storage.set_trial_user_attr(trial._trial_id, SPANS, spans)


def spans_of(trial: FrozenTrial) -> list[Span]:
    """All times in which a trial ran, the present one included."""
    found = _earlier(trial)
    if trial.datetime_start is None or trial.state == TrialState.WAITING:
        return found
    begin = trial.datetime_start.timestamp()
    if not any(abs(begin - start) < SAME for start, _ in found):  # else its end is known better
        end = min(datetime.now(), trial.datetime_complete or datetime.now())
        found.append((begin, end.timestamp()))
    return found


def earlier_seconds(trial: FrozenTrial) -> float:
    """Seconds that a trial had run before it was taken up again."""
    return sum(end - begin for begin, end in _earlier(trial))


def _earlier(trial: FrozenTrial) -> list[Span]:
    spans = trial.user_attrs.get(SPANS)
    return [
        (float(span[0]), float(span[1]))
        for span in (spans if isinstance(spans, list) else [])
        if isinstance(span, list | tuple) and len(span) == 2
        if all(isinstance(time, int | float) for time in span) and span[0] <= span[1]
    ]
