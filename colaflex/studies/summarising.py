"""From a study in its storage to what its page shows."""

from __future__ import annotations

from typing import Any

from colaflex import __version__
from colaflex.studies.explain import explain
from colaflex.studies.parameters import Parameter
from colaflex.studies.spending import spent
from colaflex.studies.study import FRESH, SEARCH, Study, counts
from colaflex.studies.summary import (
    ArmSummary,
    FreshRow,
    Goal,
    Law,
    SpaceRow,
    StudySummary,
)

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
        path=str(file.path),
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
    records = study.records(name)
    return ArmSummary(
        records=records,
        sampler=study.file.sampler_of(name).type,
        counts=counts(records),
        flops=spent(records),
        seconds=sum(record.seconds for record in records),
        best=study.best(name),
    )


def _fresh(study: Study) -> tuple[FreshRow, ...]:
    """The optima on fresh seeds; those of earlier optima are left out."""
    records = study.records(FRESH)
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


def _facts(study: Study, arms: dict[str, ArmSummary]) -> tuple[tuple[str, str], ...]:
    records = [r for arm in arms.values() for r in arm.records] + study.records(FRESH)
    first = {digest for record in records for digest in record.stage1}
    uses = sum(len(record.stage1) for record in records)
    reused = sum(record.reused for record in records)
    pruner = study.file.pruner
    rungs = ", ".join(f"{share:.0%}" for share in study.file.rungs)
    return (
        ("colaflex", __version__),
        ("identity", study.title(SEARCH)),
        ("stages 1", f"{len(first)} trained, {reused} of {uses} uses found one in the cache"),
        ("pruner", "none" if pruner is None else pruner.type),
        ("rungs", rungs or "none"),
        ("seeds of a trial", str(study.file.seeds)),
    )
