"""What the JSON files of a run folder hold, checked once where they are read.

Nothing but what others rely on is asked for, so that the files of older runs pass; what else a
file has stays.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from colaflex.errors import UserError
from colaflex.files.json_lines import kind_of
from colaflex.files.json_problems import json_problems

__all__ = ["checked"]

Count = Annotated[int, Field(ge=0, lt=2**63)]
Flops = Annotated[float, Field(ge=0)]


class _Shape(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class _Reused(_Shape):
    model_config = ConfigDict(extra="forbid")
    steps: Count
    tokens: Count
    flops: Flops
    seconds: float
    conditions: list[dict[str, Any]] = []


class _Identity(_Shape):
    spec_digest: str
    data_digest: str
    stage1_digest: str = ""
    reused: _Reused | None
    components: dict[str, Annotated[list[str], Field(min_length=2, max_length=2)]] = {}
    conditions: dict[str, Any] = {}


class _Environment(_Shape):
    packages: dict[str, Any] = {}
    conditions: dict[str, Any] = {}
    resumed: list[dict[str, Any]] = []


class _Stage(_Shape):
    name: str
    steps: Count
    tokens: Count = 0
    flops: Flops = 0
    seconds: float = 0.0
    reused: bool = False
    conditions: list[dict[str, Any]] = []


class _Training(_Shape):
    stages: list[_Stage]
    flops: Flops
    seconds: float


class _Parameters(_Shape):
    total: Count


class _Metric(_Shape):
    value: float
    low: float | None = None
    high: float | None = None
    n: Count = 0


class _Measurement(_Shape):
    settings: dict[str, Any] = {}
    conditions: dict[str, Any] = {}


class _Result(_Shape):
    spec_digest: str
    stage1_digest: str
    representation_digest: str = ""
    split: Literal["test", "validation"] = "test"
    measurement: _Measurement | None = None
    likelihood: str | None = None
    components: dict[str, Any]
    parameters: _Parameters
    training: _Training
    job_seconds: float
    metrics: dict[str, _Metric]
    environment: _Environment


_SHAPES: dict[str, type[_Shape]] = {
    "run.json": _Identity,
    "environment.json": _Environment,
    "result.json": _Result,
}


@cache
def _adapter(name: str) -> TypeAdapter[Any]:
    return TypeAdapter(_SHAPES[name])


def checked(value: Any, path: Path) -> dict[str, Any]:
    """The content of a JSON file of a run folder, as it stands there.

    Args:
        value: the content.
        path: the file, which tells what it has to hold.

    Raises:
        UserError: it is another kind of value, or one in it is; names file and key.
    """
    if not isinstance(value, dict):
        raise UserError(f"{path}: expected a JSON object, got {kind_of(value)}")
    if path.name in _SHAPES:
        try:
            _adapter(path.name).validate_python(value)
        except ValidationError as error:
            raise UserError(f"{path}: {next(json_problems(error))}") from None
    return value
