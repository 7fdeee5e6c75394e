"""What a study has come to so far: trials by state, time and training FLOPs."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from datetime import datetime
from itertools import takewhile

import optuna
from optuna.trial import FrozenTrial, TrialState

from colaflex.studies.storage.ownership import all_trials
from colaflex.studies.storage.spans import spans_of
from colaflex.studies.trials import STATES, record_of

__all__ = ["counts", "failures_in_a_row", "flops_spent", "fruitless_in_a_row", "minutes_spent"]


def counts(study: optuna.Study) -> dict[str, int]:
    """How many trials are complete, pruned, failed, running, waiting."""
    found = dict.fromkeys(STATES.values(), 0)
    for trial in all_trials(study):
        found[STATES[trial.state.name]] += 1
    return {str(state): number for state, number in found.items()}


def flops_spent(trials: Sequence[FrozenTrial]) -> float:
    """Training FLOPs of all that ended, each stage 1 counted once."""
    ended = [record_of(trial) for trial in trials if trial.state.is_finished()]
    stages = {digest: flops for record in ended for digest, flops in record.stage1.items()}
    return sum(record.flops for record in ended) + sum(stages.values())


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
