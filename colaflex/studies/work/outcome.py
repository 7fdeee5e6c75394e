"""What a trial comes to: intermediate values on its way, and an end that is told once."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import TrialState

from colaflex import hints
from colaflex.studies.objective import Pruned, TrialResult
from colaflex.studies.storage.claims import Claims
from colaflex.studies.storage.ownership import earlier_seconds

__all__ = ["Outcome", "Reports"]

log = logging.getLogger("colaflex")


class Reports:
    """Intermediate values of a trial, which may be pruned by them.

    Args:
        trial: the trial.
        objectives: that are searched; with several there is nothing to prune by.
    """

    def __init__(self, trial: optuna.Trial, objectives: Sequence[str]) -> None:
        self.trial = trial
        self.objectives = objectives
        self.last = max(trial.storage.get_trial(trial._trial_id).intermediate_values, default=-1)

    def __call__(self, step: int, metrics: Mapping[str, float]) -> None:
        """Note the objective at a step, unless an earlier try of the trial has."""
        if len(self.objectives) != 1 or self.objectives[0] not in metrics or step < self.last:
            return
        if step > self.last:
            self.trial.report(metrics[self.objectives[0]], step)
            self.last = step
        if self.trial.should_prune():
            raise Pruned


class Outcome:
    """What a trial comes to, told once, by the worker that owns it.

    Args:
        claims: of that worker.
        trial: the trial.
    """

    def __init__(self, claims: Claims, trial: optuna.Trial) -> None:
        self.claims = claims
        self.trial = trial
        self.recorded = False

    def failed(self, reason: str) -> None:
        """It could not be measured."""
        self.tell(TrialState.FAIL, attributes={"reason": reason})

    def pruned(self, result: TrialResult | None) -> None:
        """It was given up, having cost what is known of it."""
        self.tell(
            TrialState.PRUNED, attributes=None if result is None else self._attributes(result)
        )

    def measured(self, result: TrialResult, objectives: Sequence[str]) -> None:
        """It was measured; it fails where an objective is missing or not a finite number."""
        attributes = self._attributes(result)
        values: list[float] = []
        for name in objectives:
            if name not in result.metrics:
                left_out = result.left_out.get(name)
                near = hints.hint(name, result.metrics, "measured")
                reason = f", which is left out: {left_out}" if left_out else near
                why = f"it did not measure the objective {name!r}{reason}"
                return self.tell(TrialState.FAIL, attributes={**attributes, "reason": why})
            value = result.metrics[name].get("value")
            if not isinstance(value, (int, float)) or not math.isfinite(value):
                why = f"its {name} is {value}, not a finite number"
                return self.tell(TrialState.FAIL, attributes={**attributes, "reason": why})
            values.append(float(value))
        return self.tell(TrialState.COMPLETE, values, attributes)

    def tell(
        self,
        state: TrialState,
        values: Sequence[float] | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        """End the trial; dropped if it is no longer ours: its new owner tells."""
        with self.claims.lock:
            if not self.claims.owns(self.trial):
                log.warning("trial %d was taken over; our result is dropped", self.trial.number)
                return
            # A kill in between is harmless: the trial still runs, and is run and told again.
            for name, value in (attributes or {}).items():
                self.trial.set_user_attr(name, value)
            self.study.tell(self.trial, values, state)
        self.recorded = True

    def _attributes(self, result: TrialResult) -> dict[str, Any]:
        before = earlier_seconds(self.study._storage.get_trial(self.trial._trial_id))
        return {
            "metrics": {name: dict(metric) for name, metric in result.metrics.items()},
            "flops": result.flops,
            "seconds": result.seconds + before,
            "stage1": dict(result.stage1),
            "reused": result.reused,
        }

    @property
    def study(self) -> optuna.Study:
        """That the trial is from."""
        return self.claims.study
