"""Who runs which trial: claims that no two workers share, and trials of dead workers taken back."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Protocol

import optuna
from optuna.trial import FrozenTrial, TrialState

from colaflex.runtime.lock import FileLock
from colaflex.studies.storage.process_identity import ProcessIdentity, booted_at
from colaflex.studies.storage.spans import note_span

__all__ = [
    "Claims",
    "Owner",
    "Traces",
    "all_trials",
    "is_dead",
    "is_owned",
    "new_trial",
    "reap",
]

SILENCE = 15 * 60.0
"""Seconds without a sign of life after which a worker elsewhere counts as dead."""
RETRIES = 5
"""Deaths of a trial's workers, without progress between them, after which it fails."""
_living: set[str] = set()
"""Tokens of the workers of this process."""


class Traces(Protocol):
    """What trials leave on the disk, by their numbers."""

    def reached(self, number: int) -> str:
        """How far it has come: another text whenever it has got on; "" where nothing is known."""
        ...  # pragma: no cover

    def changed(self, number: int) -> float:
        """When it last wrote something, in seconds since 1970; 0 where nothing is known."""
        ...  # pragma: no cover


@dataclass(frozen=True, slots=True)
class Owner:
    """A worker.

    Attributes:
        process: that it is in.
        token: tells workers of one process apart.
    """

    process: ProcessIdentity = field(default_factory=ProcessIdentity.own)
    token: str = field(default_factory=lambda: secrets.token_hex(8))

    @contextmanager
    def working(self) -> Iterator[None]:
        """Count as alive while the context lasts."""
        _living.add(self.token)
        try:
            yield
        finally:
            _living.discard(self.token)

    def attribute(self) -> dict[str, Any]:
        """What a trial of its says: `owner`."""
        return {**asdict(self.process), "token": self.token, "claimed": time.time()}


def all_trials(study: optuna.Study) -> list[FrozenTrial]:
    """The trials as they are now, not to be changed; cheaper than `study.trials`."""
    return study._storage.get_all_trials(study._study_id, deepcopy=False)


def is_owned(trial: FrozenTrial) -> bool:
    """Whether a worker of ours runs it; trials without an owner belong to other programs."""
    return trial.state == TrialState.RUNNING and isinstance(trial.user_attrs.get("owner"), dict)


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


def reap(
    study: optuna.Study, lock: FileLock, retries: int = RETRIES, traces: Traces | None = None
) -> list[int]:
    """Let trials of dead workers wait for another one, which goes on with them.

    A trial that has cost `retries` workers their lives fails, unless it got on between them.
    Trials without an owner belong to other programs and stay as they are.

    Args:
        study: they are from.
        lock: that all workers of this host take turns with.
        retries: how many.
        traces: what trials leave on the disk.

    Returns:
        The numbers of these trials.
    """
    with lock:
        return _reap(study, all_trials(study), retries, traces)


def _reap(
    study: optuna.Study, trials: Sequence[FrozenTrial], retries: int, traces: Traces | None
) -> list[int]:
    dead = [trial for trial in trials if is_dead(trial)]
    return [trial.number for trial in dead if _take_back(study, trial, retries, traces)]


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
            trials = all_trials(self.study)
            left = self._drop_leftovers(trials)
            if _reap(self.study, trials, RETRIES, self.traces) or left:
                trials = all_trials(self.study)
            if limit is not None and _bound(trials) >= limit:
                return None
            trial_id = self._waiting(trials)
            if trial_id is None and (fresh() if callable(fresh) else fresh):
                owned = {**attributes, "owner": self.owner.attribute()}
                trial_id = new_trial(self.study, TrialState.RUNNING, owned)
            if trial_id is None:
                return None
            # Workers of other hosts may not share the lock: then the last to claim sees it.
            if limit is not None and _bound(all_trials(self.study)) > limit:
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


def is_dead(trial: FrozenTrial) -> bool:
    """Whether the worker that runs it is gone; not of trials that no worker of ours runs."""
    if not is_owned(trial):
        return False
    owner = trial.user_attrs["owner"]
    process = ProcessIdentity.of(owner)
    if process == ProcessIdentity.own():
        return owner.get("token") not in _living
    if (alive := process.alive()) is not None:
        return not alive
    seen = max(_number(owner.get("claimed")), _number(trial.user_attrs.get("beat")))
    # A machine with our names that gave a sign of life after we were started is another one.
    return (process.before_boot and seen < booted_at()) or time.time() - seen > SILENCE


def _last_sign(trial: FrozenTrial, traces: Traces | None) -> float:
    """When a dead worker was last known to live, in seconds since 1970."""
    signs = [_number(trial.user_attrs["owner"].get("claimed"))]
    signs += [_number(trial.user_attrs.get("beat"))]
    signs += [0.0 if traces is None else traces.changed(trial.number)]
    return min(max(signs), time.time())


def _number(value: object) -> float:
    """A time; long ago for what is none."""
    return float(value) if isinstance(value, int | float) else 0.0


def _take_back(
    study: optuna.Study, trial: FrozenTrial, retries: int, traces: Traces | None
) -> bool:
    storage, number = study._storage, trial._trial_id
    steps: int | str = len(trial.intermediate_values)
    if traces is not None and (reached := traces.reached(trial.number)):
        steps = f"{steps} {reached}"
    before = trial.user_attrs.get("retries", [])
    deaths = [*(before if isinstance(before, list) else []), steps]
    storage.set_trial_user_attr(number, "retries", deaths)
    note_span(study, trial, _last_sign(trial, traces))
    if deaths.count(steps) < retries:
        return storage.set_trial_state_values(number, TrialState.WAITING)
    reason = f"{deaths.count(steps)} workers died while they ran it; out of memory, perhaps"
    storage.set_trial_user_attr(number, "reason", reason)
    return storage.set_trial_state_values(number, TrialState.FAIL)
