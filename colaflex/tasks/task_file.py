"""A task file becomes the config of a component: what it says are the defaults.

    LambadaConfig = task_config(Path(__file__).with_name("lambada.yaml"))

in a config module, and a `Component("task", "lambada", "colaflex.tasks.generative:GenerativeTask",
"pkg.config:LambadaConfig", …)` make a task file a component.
"""

from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import Any

from pydantic import create_model

from colaflex.files.problems import Problem, SpecError, nearest
from colaflex.files.yaml import read_map
from colaflex.tasks.configs import Fields, GenerativeTaskConfig

__all__ = ["task_config"]


def task_config(path: Path) -> type[GenerativeTaskConfig]:
    """The config class of a task file.

    Raises:
        UserError: the file can't be read; a SpecError where it has keys that a task file has not.
    """
    known = GenerativeTaskConfig.model_fields
    entries = read_map(path, "a map with the options of a task").entries
    entries = {key: node for key, node in entries.items() if key != "type"}
    problems = [
        Problem(node.key, (key,), "unknown key of a task", nearest(key, known))
        for key, node in entries.items()
        if key not in known
    ]
    if problems:
        raise SpecError(problems)
    options: dict[str, Any] = {}
    for key, node in entries.items():
        field = copy(known[key])
        field.default = node.plain
        if key == "fields":
            field.default = Fields.model_validate(node.plain)
        elif key == "prefix_file":
            field.default = path.parent / str(node.plain)
        options[key] = (field.annotation, field)
    name = "".join(word.capitalize() for word in path.stem.split("_")) + "Config"
    return create_model(
        name,
        __base__=GenerativeTaskConfig,
        __module__=__name__,
        __doc__=f"Options of the task `{path.stem}`; by default those of its task file.",
        **options,
    )
