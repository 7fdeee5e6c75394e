"""When a search is over: what it may spend, what it has spent so far, and when it is hopeless.

Optuna's limits are a number of trials, and a time of one process only.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from typing import Literal

from optuna.trial import FrozenTrial, TrialState

from colaflex.errors import RunFailure
from colaflex.studies.storage.ownership import spans_of
from colaflex.studies.trials import record_of, training_flops

__all__ = [
    "End",
    "Limits",
    "failures_in_a_row",
    "flops_spent",
    "fruitless_in_a_row",
    "minutes_spent",
]

End = Literal["trials", "minutes", "flops", "queue", "sampler", "interrupted"]
"""Why a worker stopped: a limit is reached, all that waited is done, all points were tried."""
HOPELESS = 20
"""Trials in a row without a complete one that end a search which has none at all."""
FRUITLESS = 50
"""As many that end one which has some, at least."""
UNKNOWN = 200
"""As many, where no number of trials is asked for."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When a search is over.

    Attributes:
        trials: completed ones, of all workers.
        minutes: in which at least one trial ran.
        flops: training FLOPs of all trials that ended, each stage 1 counted once.
        failures: in a row, which end it with an error.
    """

    trials: int | None = None
    minutes: float | None = None
    flops: float | None = None
    failures: int = 5

    def fruitless(self, complete: int) -> int:
        """Trials in a row, pruned or failed, which end it with an error: none gets to its end.

        Args:
            complete: how many ever got there.
        """
        if not complete:
            return max(HOPELESS, self.failures)
        return max(FRUITLESS, self.trials or UNKNOWN, self.failures)

    def reached(self, trials: Sequence[FrozenTrial], before: Collection[int]) -> End | None:
        """Which limit is reached; None: the search goes on.

        Args:
            trials: all of them.
            before: numbers of those that had ended before this worker began.

        Raises:
            RunFailure: too many in a row failed, or none of them got to its end.
        """
        reasons = failures_in_a_row(trials, before)
        if len(reasons) >= self.failures:
            raise RunFailure(f"{len(reasons)} trials in a row failed, the last one: {reasons[-1]}")
        complete = sum(trial.state == TrialState.COMPLETE for trial in trials)
        fruitless = fruitless_in_a_row(trials, before)
        if fruitless >= self.fruitless(complete):
            raise RunFailure(
                f"{fruitless} trials in a row were pruned or failed, none of them is complete; a "
                "looser pruner, or one that begins at a later rung, lets some get to their end"
            )
        if self.trials is not None and complete >= self.trials:
            return "trials"
        if self.minutes is not None and minutes_spent(trials) >= self.minutes:
            return "minutes"
        if self.flops is not None and flops_spent(trials) >= self.flops:
            return "flops"
        return None


def flops_spent(trials: Sequence[FrozenTrial]) -> float:
    """Training FLOPs of all that ended, each stage 1 counted once."""
    return training_flops([record_of(trial) for trial in trials if trial.state.is_finished()])


def minutes_spent(trials: Sequence[FrozenTrial]) -> float:
    """Minutes in which at least one trial ran: breaks between two sessions do not count."""
    seconds, until = 0.0, -math.inf
    for begin, end in sorted(span for trial in trials for span in spans_of(trial)):
        seconds += max(0.0, end - max(begin, until))
        until = max(until, end)
    return seconds / 60


def failures_in_a_row(trials: Sequence[FrozenTrial], before: Collection[int]) -> list[str]:
    """Reasons of the failures since the last trial that did not fail, in the order they ended.

    Args:
        trials: all of them.
        before: numbers of those that had ended before, whose causes may be gone.
    """
    last = takewhile(lambda trial: trial.state == TrialState.FAIL, _latest(trials, before))
    return [str(trial.user_attrs.get("reason", "no reason is known")) for trial in last][::-1]


def fruitless_in_a_row(trials: Sequence[FrozenTrial], before: Collection[int]) -> int:
    """How many ended, pruned or failed, since the last complete one; arguments as above."""
    last = takewhile(lambda trial: trial.state != TrialState.COMPLETE, _latest(trials, before))
    return sum(1 for _ in last)


def _latest(trials: Sequence[FrozenTrial], before: Collection[int]) -> list[FrozenTrial]:
    """Those that ended since, the last one first."""
    ended = [t for t in trials if t.state.is_finished() and t.number not in before]
    return sorted(ended, key=lambda t: t.datetime_complete or datetime.min, reverse=True)
