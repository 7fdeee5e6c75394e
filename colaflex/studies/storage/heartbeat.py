"""Signs of life of a worker, for workers of other hosts, which can't see its process."""

from __future__ import annotations

import logging
import threading
import time
from types import TracebackType
from typing import Self

import optuna

__all__ = ["Heartbeat"]

log = logging.getLogger("colaflex")

INTERVAL = 60.0
"""Seconds between two signs of life."""


class Heartbeat:
    """While the context lasts, a running trial says again and again that its worker lives.

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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        storage, number = self.trial.study._storage, self.trial._trial_id
        while not self._over.wait(self.interval):
            try:
                storage.set_trial_user_attr(number, "beat", time.time())
            except Exception as error:  # a sign that fails is no reason to lose the trial
                log.warning("trial %d gave no sign of life: %s", self.trial.number, error)
