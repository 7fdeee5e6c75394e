"""What is wrong with JSON, in words."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from colaflex.files.json_problems import json_problems


class Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    share: Annotated[float, Field(gt=0, lt=1)] | None = None
    texts: Annotated[list[str], Field(max_length=2)] = []


class Whole(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    count: Annotated[int, Field(ge=0)]
    parts: dict[str, Part] = {}

    @field_validator("count")
    @classmethod
    def _is_even(cls, count: int) -> int:
        if count % 2:
            raise ValueError(f"expected an even number, got {count}")
        return count


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({}, "the key count is missing"),
        ({"count": "2"}, "count: expected a whole number, got the text '2'"),
        ({"count": 2.0}, "count: expected a whole number, got a number"),
        ({"count": True}, "count: expected a whole number, got true or false"),
        ({"count": -2}, "count: expected a number >= 0, got -2"),
        ({"count": 3}, "count: expected an even number, got 3"),
        ({"count": 0, "part": {}}, "part: there is no such key; did you mean 'parts'?"),
        ({"count": 0, "parts": []}, "parts: expected a map, got a list"),
        ({"count": 0, "parts": {"a": None}}, "parts.a: expected a map, got null"),
        ({"count": 0, "parts": {"a": {"share": 0}}}, "parts.a.share: expected a number > 0, got 0"),
        ({"count": 0, "parts": {"a": {"share": 1.5}}}, "a.share: expected a number < 1, got 1.5"),
        ({"count": 0, "parts": {"a": {"shar": 1}}}, "parts.a.shar: there is no such key"),
        ({"count": 0, "parts": {"a": {"texts": ["b", 1]}}}, "texts.1: expected text, got a number"),
        ({"count": 0, "parts": {"a": {"texts": ["b"] * 3}}}, "parts.a.texts: 3 are more than 2"),
    ],
)
def test_a_problem_names_key_and_what_was_expected(data: Any, problem: str) -> None:
    with pytest.raises(ValidationError) as error:
        Whole.model_validate(data)
    (said,) = json_problems(error.value, Whole.model_fields)
    assert said.partition(" (keys:")[0].endswith(problem)


def test_unknown_keys_stand_first_and_are_cut() -> None:
    with pytest.raises(ValidationError) as error:
        Whole.model_validate({"x" * 200: 1})
    said = list(json_problems(error.value))
    assert said == ["x" * 100 + ": there is no such key", "the key count is missing"]
