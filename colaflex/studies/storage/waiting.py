"""Trials of given points, put in line for any worker."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import optuna
from optuna.trial import TrialState

from colaflex.runtime.lock import FileLock
from colaflex.studies.objective import Attempt
from colaflex.studies.storage.ownership import all_trials, new_trial

__all__ = ["enqueue"]


def enqueue(study: optuna.Study, lock: FileLock, attempts: Iterable[Attempt]) -> int:
    """Add what is not there yet: a trial of the same point, seeds and split that did not fail.

    Returns:
        How many were added.
    """
    with lock:
        known = {
            _key(trial.user_attrs)
            for trial in all_trials(study)
            if trial.state != TrialState.FAIL and "point" in trial.user_attrs
        }
        added = 0
        for attempt in attempts:
            attributes = attributes_of(attempt)
            if (key := _key(attributes)) not in known:
                known.add(key)
                new_trial(study, TrialState.WAITING, attributes)
                added += 1
        return added


def attributes_of(attempt: Attempt) -> dict[str, Any]:
    """What a trial says of what it measures."""
    seeds = list(attempt.seeds)
    return {"point": dict(attempt.point), "seeds": seeds, "split": attempt.split}


def _key(attributes: Mapping[str, Any]) -> str:
    asked = [attributes.get(name) for name in ("point", "seeds", "split")]
    return json.dumps(asked, sort_keys=True)
