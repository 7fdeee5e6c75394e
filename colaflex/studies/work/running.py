"""Working at a study: its arms one after the other, then their optima on fresh seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from colaflex.errors import RunFailure
from colaflex.runtime.terminal import say
from colaflex.studies.objective import Attempt
from colaflex.studies.sampling.pruners import build_pruner
from colaflex.studies.sampling.samplers import build_sampler
from colaflex.studies.storage.claims import enqueue
from colaflex.studies.storage.storages import storage_answers
from colaflex.studies.study import FRESH, SEARCH, Study
from colaflex.studies.trials import TrialRecord, counts
from colaflex.studies.work.agreement import fingerprints, join
from colaflex.studies.work.best_checkpoints import keep_best_checkpoints
from colaflex.studies.work.limits import Limits
from colaflex.studies.work.spec_objective import SpecObjective, TrialSettings
from colaflex.studies.work.trial_lines import TrialLines
from colaflex.studies.work.worker import Worker
from colaflex.training.watcher import Watcher

__all__ = ["WorkSettings", "work"]


@dataclass(frozen=True)
class WorkSettings:
    """How a process works at a study.

    Attributes:
        limits: of every arm.
        arms: which are worked at.
        device: as of `colaflex run`.
        precision: as of `colaflex run`.
        label: put before what is said, such as "worker 1: ".
    """

    limits: Limits
    arms: tuple[str, ...]
    device: str = "auto"
    precision: str = "auto"
    label: str = ""


@storage_answers()
def work(study: Study, settings: WorkSettings, progress: Watcher) -> bool:
    """Work until every arm has spent its budget and every optimum is confirmed.

    Returns:
        Whether all of it is done; False after an interruption.

    Raises:
        UserError: the trials so far were made on other data, or in another precision.
        RunFailure: too many trials in a row failed or were pruned, an arm ended without a complete
            trial, runs on fresh seeds failed, or the storage did not answer.
    """

    def tell(text: str) -> None:
        say(f"{settings.label}{text}")

    precision = join(study, settings.arms, settings.precision, settings.device, tell)
    file, device = study.file, settings.device
    trials = TrialSettings(study.where.folder, file.rungs, device, precision, fingerprints(file))
    objective = SpecObjective(study.spec, trials, progress)
    for arm in settings.arms:
        optuna_study = study.arm(arm)
        named = study.file.sampler_of(arm)
        optuna_study.sampler = build_sampler(
            named,
            study.file.searched,
            [o.direction for o in study.file.objectives],
            study.file.base_spec.seed,
            study.file.start if arm == SEARCH else None,
            origin=study.file.searched.default_point(study.file.base_spec),
            trials=settings.limits.trials,
        )
        optuna_study.pruner = build_pruner(study.file.pruner, len(study.file.rungs))
        lines = TrialLines(study, arm, settings.limits, settings.label)
        about = study.about(arm)
        worker = Worker(
            optuna_study,
            about,
            study.file.searched.suggest,
            objective,
            settings.limits,
            lines,
            partial(keep_best_checkpoints, study, arm),
        )
        lines.begin()
        end = worker.run()
        if end == "interrupted":
            return False
        lines.over(end)
        _check_complete(study, arm)
    return _confirm(study, settings, objective)


def _confirm(study: Study, settings: WorkSettings, objective: SpecObjective) -> bool:
    """Run every optimum on fresh seeds and the test split."""
    attempts = study.fresh_attempts()
    if not attempts:
        return True
    fresh, about = study.arm(FRESH), study.about(FRESH)
    enqueue(fresh, about.lock, attempts)
    limits = Limits(failures=settings.limits.failures)
    lines = TrialLines(study, FRESH, limits, settings.label)
    lines.begin()
    tidy = partial(keep_best_checkpoints, study, FRESH)
    if Worker(fresh, about, None, objective, limits, lines, tidy).run() == "interrupted":
        return False
    _check_confirmed(study.records(FRESH), attempts)
    return True


def _check_complete(study: Study, arm: str) -> None:
    """Refuse an arm that has spent its budget and has nothing to show for it."""
    records = study.records(arm)
    number_of = counts(records)
    if not number_of["complete"] and not number_of["running"]:
        failed = [record.reason for record in records if record.state == "failed"]
        last = f", the last one: {failed[-1]}" if failed else ""
        raise RunFailure(
            f"{arm}: it is over, and no trial is complete: {number_of['pruned']} pruned, "
            f"{number_of['failed']} failed{last}"
        )


def _check_confirmed(records: Sequence[TrialRecord], attempts: Sequence[Attempt]) -> None:
    """Refuse optima that failed on fresh seeds."""

    def states(attempt: Attempt) -> set[str]:
        asked = dict(attempt.point), tuple(attempt.seeds), attempt.split
        return {r.state for r in records if (dict(r.point), r.seeds, r.split) == asked}

    failed = sum("complete" not in states(attempt) for attempt in attempts)
    if failed:
        reasons = [record.reason for record in records if record.state == "failed"]
        last = reasons[-1] if reasons else "no reason is known"
        raise RunFailure(
            f"{failed} of {len(attempts)} runs on fresh seeds failed, the last one: {last}; "
            "the same command tries them again"
        )
