"""Whose a trial is, whether its worker lives, and trials of dead workers taken back.

Optuna's heartbeats are for databases alone, take minutes to notice a death, and leave a failed
trial with a copy under another number. Here a process that is gone is noticed at once, by whichever
storage, and its trial goes on from its checkpoint as the very same one.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Protocol, Self

import optuna
from optuna.trial import FrozenTrial, TrialState

from colaflex.runtime.lock import FileLock
from colaflex.studies.storage.process_identity import ProcessIdentity, booted_at

__all__ = [
    "Heartbeat",
    "Owner",
    "Traces",
    "earlier_seconds",
    "is_dead",
    "is_owned",
    "note_span",
    "reap",
    "spans_of",
    "take_back_dead",
]

log = logging.getLogger("colaflex")

SILENCE = 15 * 60.0
"""Seconds without a sign of life after which a worker elsewhere counts as dead."""
RETRIES = 5
"""Deaths of a trial's workers, without progress between them, after which it fails."""
INTERVAL = 60.0
"""Seconds between two signs of life."""
SPANS = "spans"
SAME = 1e-3
"""Seconds within which two beginnings are one, as storages round them."""
Span = tuple[float, float]
"""Beginning and end, in seconds since 1970."""
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


def is_owned(trial: FrozenTrial) -> bool:
    """Whether a worker of ours runs it; trials without an owner belong to other programs."""
    return trial.state == TrialState.RUNNING and isinstance(trial.user_attrs.get("owner"), dict)


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
        return take_back_dead(study, study.get_trials(deepcopy=False), retries, traces)


def take_back_dead(
    study: optuna.Study, trials: Sequence[FrozenTrial], retries: int, traces: Traces | None
) -> list[int]:
    """As `reap`, of trials that were read while the lock was held."""
    dead = [trial for trial in trials if is_dead(trial)]
    return [trial.number for trial in dead if _take_back(study, trial, retries, traces)]


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


class Heartbeat:
    """While the context lasts, a running trial says again and again that its worker lives.

    Workers of other hosts, which can't see the process, know it by that.

    Args:
        trial: the trial.
        interval: seconds between two signs.
    """

    def __init__(self, trial: optuna.Trial, interval: float = INTERVAL) -> None:
        self.trial = trial
        self.interval = interval
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        storage, number = self.trial.study._storage, self.trial._trial_id
        while not self._over.wait(self.interval):
            try:
                storage.set_trial_user_attr(number, "beat", time.time())
            except Exception as error:  # a sign that fails is no reason to lose the trial
                log.warning("trial %d gave no sign of life: %s", self.trial.number, error)


def note_span(study: optuna.Study, trial: FrozenTrial, end: float) -> None:
    """Remember that a trial which is to wait has run until then; the storage forgets it."""
    if trial.datetime_start is not None:
        begin = trial.datetime_start.timestamp()
        spans = [*_earlier(trial), (begin, max(begin, end))]
        study._storage.set_trial_user_attr(trial._trial_id, SPANS, spans)


def spans_of(trial: FrozenTrial) -> list[Span]:
    """All times in which a trial ran, the present one included."""
    spans = _earlier(trial)
    if trial.datetime_start is None or trial.state == TrialState.WAITING:
        return spans
    begin = trial.datetime_start.timestamp()
    if not any(abs(begin - start) < SAME for start, _ in spans):  # else its end is known better
        end = min(datetime.now(), trial.datetime_complete or datetime.now())
        spans.append((begin, end.timestamp()))
    return spans


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
