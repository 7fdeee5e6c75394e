"""Which task and which scorer a user means: by name, or by a task file."""

from __future__ import annotations

import os
import re
from pathlib import Path

from colaflex.errors import UserError
from colaflex.files.problems import DEFAULT, SpecError
from colaflex.files.reading import user_path
from colaflex.files.yaml import Node, read_map
from colaflex.host.registry import registry
from colaflex.interfaces.configs import ScorerConfig, TaskConfig
from colaflex.spec.resolve import Resolver
from colaflex.spec.shapes import Shape

__all__ = ["scored_by", "task_named"]

SUFFIXES = (".yaml", ".yml")


def task_named(task: str) -> TaskConfig:
    """The config of a registered task, with its defaults, or what a task file says.

    Args:
        task: a name, or the path of a YAML file. The file holds a task's options; without `type`
            they are those of `generative`, without `name` the task is called after the file.

    Raises:
        SpecError: lists everything that is wrong with the file, with its place.
        UserError: there is no such task or file.
    """
    if task.endswith(SUFFIXES) or os.sep in task:
        return _of_file(user_path(task))
    known = registry()
    cls = known.config_class("task", task)
    required = [name for name, field in cls.model_fields.items() if field.is_required()]
    if required:
        raise UserError(
            f"the task {task} needs options ({', '.join(required)}); write them in a task file, "
            f"`type: {task}`, and name the file"
        )
    config = known.config("task", task)
    assert isinstance(config, TaskConfig)
    return config


def scored_by(task: TaskConfig, scorer: str | None) -> TaskConfig:
    """The task with another scorer; as it is where None is given.

    Raises:
        UserError: there is no such scorer, or the task judges its answers itself.
    """
    if scorer is None:
        return task
    config = registry().config("scorer", scorer)
    assert isinstance(config, ScorerConfig)
    if not task.capabilities().scored:
        raise UserError(f"the task {task.title} judges its answers itself; leave out --scorer")
    return task.model_copy(update={"scorer": config})


def _of_file(path: Path) -> TaskConfig:
    node = read_map(path, "a map with the options of a task")
    called = re.sub(r"\W+", "_", path.stem)
    defaults = {
        "type": Node("generative", DEFAULT, DEFAULT),
        "name": Node(called, DEFAULT, DEFAULT),
    }
    resolver = Resolver(registry())
    shape = Shape(slot="task", expected="the options of a task")
    config = resolver.component(node.with_entries({**defaults, **node.entries}), shape, ())
    if not isinstance(config, TaskConfig):
        raise SpecError(resolver.problems)
    return config
