"""How right the answers to a task are, with intervals and item by item. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from colaflex.errors import UserError
from colaflex.host.registry import registry
from colaflex.interfaces.configs import TaskConfig
from colaflex.interfaces.metric import Items, Measurement
from colaflex.interfaces.scorer import Scorer
from colaflex.interfaces.task import Task, TaskSource
from colaflex.metrics.measurements import Measurements
from colaflex.statistics.intervals import wilson

__all__ = ["Scored", "accuracies", "build_task", "score_file"]


@dataclass(frozen=True, slots=True)
class Scored:
    """What stored generations are worth.

    Attributes:
        task: its name.
        scorer: its name.
        accuracy: share of right answers, with Wilson's interval.
    """

    task: str
    scorer: str
    accuracy: Measurement

    def as_json(self) -> dict[str, Any]:
        """As `colaflex score --json` prints it."""
        accuracy = self.accuracy.as_json()
        return {"task": self.task, "scorer": self.scorer, "n": accuracy["n"], "accuracy": accuracy}


def build_task(config: TaskConfig, source: TaskSource) -> tuple[Task, Scorer | None]:
    """A task, and the scorer that its config names where it takes one."""
    scorer = getattr(config, "scorer", None) if config.capabilities().scored else None
    built = None if scorer is None else registry().build(scorer)
    return registry().build(config, source=source), built


def score_file(config: TaskConfig, path: Path) -> Scored:
    """Score a file of stored generations, one JSON object a line.

    Raises:
        UserError: the task reads no data, or the file can't be read; with its place.
    """
    if config.capabilities().source != "data":
        raise UserError(
            f"the task {config.title} draws its items from the corpus of a run; measure a run with "
            f"`colaflex evaluate RUN --task {config.title}`"
        )
    task, scorer = build_task(config, TaskSource())
    right = [task.right(each.item, [each.answer], scorer) for each in task.stored(path)]
    named: Any = getattr(config, "scorer", None)
    name = "" if named is None else named.type.rpartition(":")[2]
    return Scored(config.title, name, wilson(sum(right), len(right)))


def accuracies(
    name: str, right: Sequence[bool], lengths: Sequence[int], patch: int
) -> Measurements:
    """`task.<name>.accuracy`, and by prompt length modulo the patch where that is above 1.

    Args:
        name: of the task.
        right: of each item.
        lengths: of each item's prompt (tokens).
        patch: tokens of a segment, 1 where they vary.
    """
    groups = {f"task.{name}.accuracy": list(right)}
    for rest in range(patch if patch > 1 else 0):
        within = [r for r, length in zip(right, lengths, strict=True) if length % patch == rest]
        if within:
            groups[f"task.{name}.accuracy.mod{rest}"] = within
    metrics = {key: wilson(sum(group), len(group)) for key, group in groups.items()}
    return Measurements(metrics, {key: Items.of(group) for key, group in groups.items()})
