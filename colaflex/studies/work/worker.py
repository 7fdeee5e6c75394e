"""A worker: claims trials one after the other, measures them and says what they came to.

In place of Optuna's `optimize`, which makes a new trial every time and goes on with none.
"""

from __future__ import annotations

import random
import time
import traceback
from collections.abc import Callable

import optuna

from colaflex.errors import RunFailure, UserError
from colaflex.files.reading import appending
from colaflex.studies.arm import Arm
from colaflex.studies.objective import Attempt, Objective, Point, Pruned, StopSearch
from colaflex.studies.sampling.plan_sampler import PlanSampler
from colaflex.studies.storage.claims import Claims, attributes_of
from colaflex.studies.storage.ownership import Heartbeat, Owner, is_owned, reap
from colaflex.studies.storage.storages import storage_answers, storage_failure
from colaflex.studies.trials import TrialRecord, record_of
from colaflex.studies.work.limits import End, Limits
from colaflex.studies.work.outcome import Outcome, Reports

__all__ = ["Events", "Worker"]

POLL = 0.3
"""Seconds, about, between two looks at the storage while others run the last trials."""


class Events:
    """What a worker does, for whoever wants to know; says nothing by itself."""

    def started(self, attempt: Attempt) -> None:
        """A trial begins, or goes on."""

    def ended(self, record: TrialRecord) -> None:
        """A trial is complete, pruned or failed."""

    def waiting(self, running: int) -> None:
        """Nothing to do until one of the trials that run elsewhere ends; said once."""


class Worker:
    """Runs trials until a limit is reached; any number of them share a study.

    Args:
        study: with its storage, sampler and pruner.
        arm: what its trials have in common.
        suggest: a point for a trial; None: only trials that wait are run, none are made.
        objective: what measures.
        limits: when to stop.
        events: told of trials as they start and end.
        tidy: called when a trial has ended.
    """

    def __init__(
        self,
        study: optuna.Study,
        arm: Arm,
        suggest: Callable[[optuna.Trial], Point] | None,
        objective: Objective,
        limits: Limits,
        events: Events | None = None,
        tidy: Callable[[], None] = lambda: None,
    ) -> None:
        self.study = study
        self.arm = arm
        self.suggest = suggest
        self.objective = objective
        self.limits = limits
        self.events = events or Events()
        self.tidy = tidy
        self.lock = arm.lock
        self._before: frozenset[int] = frozenset()

    def run(self) -> End:
        """Work.

        Raises:
            RunFailure: as many trials in a row failed as the limit allows, or the storage does
                not answer any more.
        """
        # As in `Study.optimize`: a sampler that has tried everything says so by `study.stop()`.
        self.study._stop_flag = False
        self.study._thread_local.in_optimize_loop = True
        owner = Owner()
        try:
            with owner.working(), storage_answers():
                ended = [
                    t.number for t in self.study.get_trials(deepcopy=False) if t.state.is_finished()
                ]
                self._before = frozenset(ended)
                # Before the budget is looked at: the dead spend none.
                reap(self.study, self.lock, traces=self.arm)
                return self._work(Claims(self.study, self.lock, owner, self.arm))
        except KeyboardInterrupt:
            return "interrupted"
        finally:
            self.study._thread_local.in_optimize_loop = False

    def _work(self, claims: Claims) -> End:
        attributes = {"seeds": list(self.arm.seeds), "split": self.arm.split}
        waits = False
        while (end := self._reached()) is None:
            trial = claims.claim(self.limits.trials, self._more, attributes)
            if trial is not None:
                waits = False
                self._run(claims, trial)
                continue
            running = sum(is_owned(t) for t in self.study.get_trials(deepcopy=False))
            if not running and not self._more():
                return "queue" if self.suggest is None else "sampler"
            if running and not waits:
                waits = True
                self.events.waiting(running)
            time.sleep(POLL * random.uniform(0.7, 1.3))
        return end

    def _reached(self) -> End | None:
        """Which limit is reached by now."""
        return self.limits.reached(self.study.get_trials(deepcopy=False), self._before)

    def _more(self) -> bool:
        """Whether there are points to try besides those that wait."""
        if self.suggest is None or self.study._stop_flag:
            return False
        sampler = self.study.sampler
        return not (isinstance(sampler, PlanSampler) and sampler.is_exhausted(self.study))

    def _run(self, claims: Claims, trial: optuna.Trial) -> None:
        """Measure a trial and tell what came of it; it waits for others where we are stopped."""
        outcome = Outcome(claims, trial)
        try:
            with Heartbeat(trial):
                self._measure(trial, outcome)
        except BaseException:
            claims.give_back(trial)
            raise
        if outcome.recorded:
            self.events.ended(record_of(self.study._storage.get_trial(trial._trial_id)))
            self.tidy()

    def _measure(self, trial: optuna.Trial, outcome: Outcome) -> None:
        try:
            attempt = self._attempt(trial)
            self.events.started(attempt)
            result = self.objective(attempt, Reports(trial, self.arm.objectives))
        except StopSearch:
            raise
        except Pruned as pruned:
            outcome.pruned(pruned.result)
        except (UserError, RunFailure) as error:
            outcome.failed(str(error) or type(error).__name__)
        except Exception as error:
            if storage_failure(error) is not None:
                raise
            path = self.arm.log_of(self._name(trial))
            with appending(self.arm.folder, str(path.relative_to(self.arm.folder))) as file:
                file.write(traceback.format_exc().encode(errors="replace"))
            outcome.failed(f"{type(error).__name__}: {error} (traceback in {path})")
        else:
            outcome.measured(result, self.arm.objectives)

    def _name(self, trial: optuna.Trial) -> str:
        return f"{self.arm.name}/{trial.number:04d}"

    def _attempt(self, trial: optuna.Trial) -> Attempt:
        """What a trial measures: as was asked for when it was put in line, else suggested."""
        name, known = self._name(trial), trial.user_attrs
        seeds = tuple(known.get("seeds", self.arm.seeds))
        split = known.get("split", self.arm.split)
        if "point" in known or self.suggest is None:
            return Attempt(name, known.get("point", {}), seeds, split)
        attempt = Attempt(name, self.suggest(trial), seeds, split)
        for key, value in attributes_of(attempt).items():
            if known.get(key) != value:
                trial.set_user_attr(key, value)
        return attempt
