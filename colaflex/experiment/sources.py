"""Other runs that a run takes from: their representation, or their prior as a teacher."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from colaflex.errors import UserError
from colaflex.experiment.conditions import Conditions, unlike
from colaflex.experiment.folder import RunFolder
from colaflex.experiment.loading import LoadedModel, load
from colaflex.experiment.result import conditions_of, cost_of, reused_teacher
from colaflex.experiment.stage_cache import KnownStageOne, StageOne, stage_one_state, weights_digest
from colaflex.interfaces.language_model import LanguageModel
from colaflex.spec import Spec

__all__ = ["adopt_teacher", "finished_run", "taken_stage_one", "unlike_ones"]


def finished_run(key: str, run: Path) -> LoadedModel:
    """The finished run that a key of the spec names, with the weights that it ended with.

    Raises:
        UserError: there is none, or its checkpoints hold something else by now.
    """
    try:
        RunFolder(run).read("result.json")
        loaded = load(run)
    except UserError as error:
        raise UserError(f"{key}: {error}") from None
    if weights_digest(loaded.model) != loaded.result.get("representation_digest"):
        raise UserError(
            f"{key}: {run}: the representation in its checkpoints is not the one that its "
            "result.json names; a checkpoint is damaged, or an older colaflex wrote them"
        )
    return loaded


def taken_stage_one(source: LoadedModel) -> KnownStageOne:
    """What a run that trained a stage 1 hands over: its representation as it ended.

    Raises:
        UserError: it had no stage 1.
    """
    for stage in source.result["training"]["stages"]:
        if stage["name"] == "representation":
            cost = cost_of(stage)
            trained = conditions_of(stage, source.result["environment"])
            return KnownStageOne(
                StageOne(**cost, conditions=trained), stage_one_state(source.model)
            )
    raise UserError(f"representation.from: the run {source.spec.name} has no stage 1")


def adopt_teacher(spec: Spec, model: LanguageModel, stage1_digest: str) -> list[dict[str, Any]]:
    """Let another run's prior teach ours; what that one took, which counts here as well.

    Raises:
        UserError: it has learned other latents, or can't teach a prior like ours.
    """
    teacher = getattr(spec.prior, "teacher", None)
    if teacher is None or str(teacher) == "none":
        return []
    learned: Any = finished_run("prior.teacher", teacher)
    if not stage1_digest or stage1_digest not in _names_of_its_representation(learned):
        raise UserError(
            f"prior.teacher: {teacher} has learned the latents of another representation; take "
            f"that one as well, with representation.from: {teacher}, or let a run teach whose "
            "stage 1 is the same and whose training.regime is frozen"
        )
    prior: Any = model.get_submodule("prior")
    try:
        prior.adopt_teacher(learned.model.prior)
    except (ValueError, RuntimeError, AttributeError) as error:
        raise UserError(
            f"prior.teacher: the run {teacher} can't teach this prior: {error}"
        ) from None
    return reused_teacher(learned.result["training"]["stages"], learned.result["environment"])


def unlike_ones(
    reused: StageOne | None, teacher: Sequence[Mapping[str, Any]], now: Conditions
) -> Iterator[str]:
    """What is said of stage 1 and teacher where they were trained under other conditions.

    Args:
        reused: a stage 1 that is not trained here.
        teacher: stages of a result, as `adopt_teacher` gives them.
        now: the conditions of this run.
    """
    first = [] if reused is None else reused.conditions or [{}]
    taken = [("stage 1", each) for each in first]
    taken += [("the teacher", each) for stage in teacher for each in stage["conditions"]]
    for what, trained in taken:
        if words := unlike(trained, now):
            yield f"{what} {words}"


def _names_of_its_representation(run: LoadedModel) -> set[str]:
    """Its weights' digest; that of its stage 1 too, unless the representation learned on."""
    names = {run.result["representation_digest"]}
    return names | {run.result["stage1_digest"]} if run.spec.training.regime == "frozen" else names
