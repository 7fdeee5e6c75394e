"""Claims on trials that no two workers share: of those that wait, and of fresh ones.

Optuna's queue asks no lock, and would give a trial twice to workers that ask at once; nor does it
know the seeds and the split that make two trials of one point different.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from colaflex.runtime.lock import FileLock
from colaflex.studies.objective import Attempt
from colaflex.studies.storage.ownership import (
    RETRIES,
    Owner,
    Traces,
    is_owned,
    note_span,
    take_back_dead,
)

__all__ = ["Claims", "attributes_of", "enqueue", "new_trial"]


class Claims:
    """The trials of one worker.

    Args:
        study: they are from.
        lock: that all workers of this host take turns with.
        owner: the worker.
        traces: what trials leave on the disk.
    """

    def __init__(
        self, study: optuna.Study, lock: FileLock, owner: Owner, traces: Traces | None = None
    ) -> None:
        self.study = study
        self.lock = lock
        self.owner = owner
        self.traces = traces

    def claim(
        self, limit: int | None, fresh: bool | Callable[[], bool], attributes: dict[str, Any]
    ) -> optuna.Trial | None:
        """A trial to run: one that waits or that its worker left behind, else a fresh one.

        Args:
            limit: of completed trials: no more run at once than are missing.
            fresh: whether to make trials; asked when no other worker makes one.
            attributes: of a fresh one.

        Returns:
            None if there is nothing to run now.
        """
        storage = self.study._storage
        with self.lock:
            trials = self.study.get_trials(deepcopy=False)
            left = self._drop_leftovers(trials)
            if take_back_dead(self.study, trials, RETRIES, self.traces) or left:
                trials = self.study.get_trials(deepcopy=False)
            if limit is not None and _bound(trials) >= limit:
                return None
            trial_id = self._waiting(trials)
            if trial_id is None and (fresh() if callable(fresh) else fresh):
                owned = {**attributes, "owner": self.owner.attribute()}
                trial_id = new_trial(self.study, TrialState.RUNNING, owned)
            if trial_id is None:
                return None
            # Workers of other hosts may not share the lock: then the last to claim sees it.
            if limit is not None and _bound(self.study.get_trials(deepcopy=False)) > limit:
                storage.set_trial_state_values(trial_id, TrialState.WAITING)
                return None
            return optuna.Trial(self.study, trial_id)

    def owns(self, trial: optuna.Trial) -> bool:
        """Whether it is still ours: not if we were silent for long, and others took it."""
        now = self.study._storage.get_trial(trial._trial_id)
        return now.state == TrialState.RUNNING and self._is_ours(now)

    def give_back(self, trial: optuna.Trial) -> None:
        """Let it wait for another worker, if it still is ours."""
        with self.lock:
            if self.owns(trial):
                now = self.study._storage.get_trial(trial._trial_id)
                note_span(self.study, now, time.time())
                self.study._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)

    def _waiting(self, trials: Sequence[FrozenTrial]) -> int | None:
        storage = self.study._storage
        for trial in trials:
            if trial.state == TrialState.WAITING:
                own = self.owner.attribute()
                storage.set_trial_user_attr(trial._trial_id, "owner", own)
                if storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING):
                    # One who lost the race may have written its name over ours.
                    storage.set_trial_user_attr(trial._trial_id, "owner", own)
                    return trial._trial_id
        return None

    def _drop_leftovers(self, trials: Sequence[FrozenTrial]) -> bool:
        """Ours are none before a claim: such a name is left by a race that was lost."""
        left = [t for t in trials if t.state == TrialState.RUNNING and self._is_ours(t)]
        for trial in left:
            self.study._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)
        return bool(left)

    def _is_ours(self, trial: FrozenTrial) -> bool:
        return is_owned(trial) and trial.user_attrs["owner"].get("token") == self.owner.token


def _bound(trials: Sequence[FrozenTrial]) -> int:
    """How many are complete or may become so."""
    return sum(trial.state in (TrialState.COMPLETE, TrialState.RUNNING) for trial in trials)


def new_trial(study: optuna.Study, state: TrialState, attributes: dict[str, Any]) -> int:
    """Add a trial at one stroke: a kill leaves it whole or not at all. Returns its id."""
    template = FrozenTrial(
        number=-1,
        trial_id=-1,
        state=state,
        value=None,
        datetime_start=datetime.now() if state == TrialState.RUNNING else None,
        datetime_complete=None,
        params={},
        distributions={},
        user_attrs=attributes,
        system_attrs={},
        intermediate_values={},
    )
    return study._storage.create_new_trial(study._study_id, template)


def enqueue(study: optuna.Study, lock: FileLock, attempts: Iterable[Attempt]) -> int:
    """Add what is not there yet: a trial of the same point, seeds and split that did not fail.

    Returns:
        How many were added.
    """
    with lock:
        known = {
            _key(trial.user_attrs)
            for trial in study.get_trials(deepcopy=False)
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
    identity = [attributes.get(name) for name in ("point", "seeds", "split")]
    return json.dumps(identity, sort_keys=True)
