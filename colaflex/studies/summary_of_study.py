"""From a study in its storage to what its page shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from colaflex import __version__
from colaflex.studies.explanation.explain import explain
from colaflex.studies.space.parameters import Parameter
from colaflex.studies.study import FRESH, SEARCH, Study
from colaflex.studies.summary import ArmSummary, FreshRow, Goal, Law, SpaceRow, StudySummary
from colaflex.studies.trials import TrialRecord, counts, failed_in_words, training_flops
from colaflex.studies.work.trial_result import COSTS

__all__ = ["summarise"]

DIMENSION, LOCATION = "representation.latent_dim", "prior.schedule.loc"


def summarise(study: Study) -> StudySummary:
    """All that is known of a study by now."""
    file = study.file
    arms = {name: _arm(study, name) for name in study.arms}
    objectives = tuple(Goal(goal.metric, goal.direction) for goal in file.objectives)
    records = arms[SEARCH].records
    return StudySummary(
        study=file.study,
        title=file.title,
        summary=file.summary,
        path=_shown(file.path),
        base=file.base_spec.name,
        space=tuple(_space_row(study, parameter) for parameter in file.searched.parameters),
        goals=objectives,
        arms=arms,
        fresh=_fresh(study),
        explanation=explain(records, file.searched, objectives[0].direction),
        law=_law(study),
        facts=_facts(study, arms),
    )


def _arm(study: Study, name: str) -> ArmSummary:
    records, best = _slim(study, name), study.best(name)
    return ArmSummary(
        records=records,
        sampler=study.file.sampler_of(name).type,
        counts=counts(records),
        flops=training_flops(records),
        seconds=sum(record.seconds for record in records),
        best=next((r for r in records if best is not None and r.number == best.number), None),
    )


def _slim(study: Study, arm: str) -> list[TrialRecord]:
    """The trials of an arm with the metrics that a page shows; all others are in their folders."""
    shown = {goal.metric for goal in study.file.objectives} | set(COSTS)
    return [
        replace(record, metrics={k: v for k, v in record.metrics.items() if k in shown})
        for record in study.records(arm)
    ]


def _fresh(study: Study) -> tuple[FreshRow, ...]:
    """The optima on fresh seeds; those of earlier optima are left out."""
    records = _slim(study, FRESH)
    return tuple(
        FreshRow(arm, point, [r for r in records if r.point == point and r.state == "complete"])
        for arm, point in study.optima().items()
    )


def _space_row(study: Study, parameter: Parameter) -> SpaceRow:
    distribution: Any = parameter.distribution
    base = study.file.searched.default_point(study.file.base_spec)
    return SpaceRow(
        path=parameter.path,
        choices=tuple(getattr(distribution, "choices", ())),
        low=getattr(distribution, "low", None),
        high=getattr(distribution, "high", None),
        log=bool(getattr(distribution, "log", False)),
        base=base.get(parameter.path),
        component=parameter.name.partition("@")[2],
    )


def _law(study: Study) -> Law | None:
    """Of the schedule's location and the latent dimension, where both are searched."""
    paths = study.file.searched.paths
    return Law(LOCATION, DIMENSION) if {LOCATION, DIMENSION} <= set(paths) else None


def _shown(path: Path) -> str:
    """A path as short as it can be said."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return path.name


def _facts(study: Study, arms: Mapping[str, ArmSummary]) -> tuple[tuple[str, str], ...]:
    records = [r for arm in arms.values() for r in arm.records] + study.records(FRESH)
    first = {digest: flops for record in records for digest, flops in record.stage1.items()}
    uses, reused = sum(len(r.stage1) for r in records), sum(r.reused for r in records)
    repeated = sum(flops for r in records for flops in r.stage1.values()) - sum(first.values())
    paid = training_flops(records)
    pruner = study.file.pruner
    rungs = ", ".join(f"{share:.0%}" for share in study.file.rungs)
    stages = f"{len(first)}, used {uses} times, {reused} from the cache"
    if paid:
        stages += f"; without sharing, training takes {1 + repeated / paid:.2f} times the FLOPs"
    return (
        ("colaflex", __version__),
        ("identity", study.title(SEARCH)),
        ("stages 1", stages),
        ("pruner", "none" if pruner is None else pruner.type),
        ("rungs", rungs or "none"),
        ("seeds of a trial", str(study.file.seeds)),
        *(("failed", line) for line in failed_in_words(study.failures())),
    )
