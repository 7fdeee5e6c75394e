"""What every config promises, whatever its kind."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import annotated_types
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from colaflex.interfaces import capabilities
from colaflex.testing.results import Fault
from colaflex.testing.subject import Subject

__all__ = ["number_constraints"]

DECLARED = {
    "segmenter": capabilities.SegmenterCapabilities,
    "representation": capabilities.RepresentationCapabilities,
    "prior": capabilities.PriorCapabilities,
    "network": capabilities.NetworkCapabilities,
    "task": capabilities.TaskCapabilities,
}
BOUNDS = (annotated_types.Ge, annotated_types.Gt, annotated_types.Le, annotated_types.Lt)


def kind(subject: Subject) -> None:
    """The config's `kind` is the component's."""
    if subject.config_class.kind != subject.kind:
        raise Fault(
            f"{subject.config_class.__name__} has kind = {subject.config_class.kind!r}, "
            f"the component is a {subject.kind}"
        )


def light(subject: Subject) -> None:
    """The config's module imports without torch, so that specs are checked in milliseconds."""
    module = subject.config_class.__module__
    if module == "__main__":
        return
    trouble = _import_trouble(module)
    if trouble:
        raise Fault(f"importing {module}, which holds the config, {trouble}")


@functools.cache
def _import_trouble(module: str) -> str:
    """What goes wrong when a fresh Python imports the module, or nothing."""
    code = f"import sys, importlib; importlib.import_module({module!r})\n"
    code += "print('torch' in sys.modules)"
    paths = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    done = subprocess.run(  # noqa: S603  our own Python, and a module's name
        [sys.executable, "-P", "-c", code],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return f"fails: {done.stderr.strip().splitlines()[-1]}"
    return "brings torch in" if done.stdout.split()[-1] == "True" else ""


def strict(subject: Subject) -> None:
    """Unknown options are refused (extra="forbid"), in nested models as well."""
    for model in models(subject.config_class):
        if model.model_config.get("extra") != "forbid":
            raise Fault(f'{model.__name__} lacks extra="forbid": a misspelt option goes unnoticed')


def frozen(subject: Subject) -> None:
    """A config can't be changed once it is made."""
    if not subject.config_class.model_config.get("frozen"):
        raise Fault(f"{subject.config_class.__name__} is not frozen")


def described(subject: Subject) -> None:
    """Every option has a description, from which help, schema and documentation are made."""
    for model in models(subject.config_class):
        for name, field in model.model_fields.items():
            if not (field.description or "").strip():
                raise Fault(f"{model.__name__}.{name} has no description")


def bounded(subject: Subject) -> None:
    """Every number has bounds, so that nonsense is refused before training."""
    for model in models(subject.config_class):
        for name, field in model.model_fields.items():
            for constraints in number_constraints(field.annotation, tuple(field.metadata)):
                if not any(isinstance(c, BOUNDS) for c in constraints):
                    raise Fault(f"{model.__name__}.{name} is a number without bounds")


def defaults(subject: Subject) -> None:
    """A component runs by its name alone: what has a default has a valid one."""
    try:
        subject.config_class.model_validate({**subject.required, "type": subject.type})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise Fault(f"without options it is refused: {place}: {first['msg']}") from error


def declares(subject: Subject) -> None:
    """`capabilities()` (of a solver: `evaluations(steps)`) answers in its kind's own type."""
    declared, answer = DECLARED.get(subject.kind), subject.config.capabilities()
    if declared is not None and not isinstance(answer, declared):
        raise Fault(f"capabilities() answers {answer!r}, expected {declared.__name__}")
    if subject.kind == "solver":
        count = getattr(subject.config, "evaluations")(3)  # noqa: B009  of this kind alone
        if not (count is None or (isinstance(count, int) and count >= 1)):
            raise Fault(f"evaluations(3) answers {count!r}, expected a number or None")


def schema(subject: Subject) -> None:
    """The config has a JSON schema, for editors."""
    json.dumps(subject.config_class.model_json_schema())


def round_trip(subject: Subject) -> None:
    """Written as JSON and read again, the config is the same."""
    config = subject.config
    written = json.loads(json.dumps(config.model_dump(mode="json", serialize_as_any=True)))
    if type(config).model_validate(written) != config:
        raise Fault("written as JSON and read again, the config is another one")


def models(cls: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A model and those nested in it, but for other components' configs."""
    yield cls
    for field in cls.model_fields.values():
        for part in (field.annotation, *get_args(field.annotation)):
            nested = isinstance(part, type) and issubclass(part, BaseModel)
            if nested and not hasattr(part, "capabilities"):
                yield from models(part)


def number_constraints(annotation: Any, metadata: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """The constraints of every int or float within an annotation."""
    constraints: list[Any] = []
    for marker in metadata:
        constraints.extend(marker.metadata if isinstance(marker, FieldInfo) else [marker])
    if annotation in (int, float):
        yield tuple(constraints)
    elif hasattr(annotation, "__metadata__"):
        yield from number_constraints(
            get_args(annotation)[0], (*annotation.__metadata__, *constraints)
        )
    elif get_origin(annotation) not in (None, type):
        for part in get_args(annotation):
            yield from number_constraints(part, tuple(constraints))
