"""What a field takes, read off its annotation."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from colaflex.spec.shapes import Bounds, shapes_of


class Fields(BaseModel):
    plain: float
    count: int = Field(1, ge=1, le=8)
    share: Annotated[float, Field(gt=0, lt=1)]
    part: float = Field(0.5, ge=0, lt=1)
    rate: float = Field(0.5, gt=0, le=2)
    most: int = Field(0, le=9)
    least: Annotated[int, Field(gt=3)] | None
    auto: Literal["auto"] | Annotated[int, Field(ge=2, lt=6)]
    either: Annotated[float, Field(ge=0)] | tuple[Annotated[float, Field(lt=1)], ...]
    few: tuple[int, ...] = Field((1,), min_length=1, max_length=3)


@pytest.mark.parametrize(
    ("field", "bounds", "expected"),
    [
        ("plain", Bounds(), "a number"),
        ("count", Bounds(1, 8), "an integer from 1 to 8"),
        ("share", Bounds(0, 1, above=True, below=True), "a number above 0 and below 1"),
        ("part", Bounds(0, 1, below=True), "a number from 0 to below 1"),
        ("rate", Bounds(0, 2, above=True), "a number above 0, at most 2"),
        ("most", Bounds(high=9), "an integer <= 9"),
        ("least", Bounds(3, above=True), "an integer > 3 or null"),
        ("auto", Bounds(2, 6, below=True), "`auto` or an integer from 2 to below 6"),
        ("either", Bounds(0), "a number >= 0 or a list, each a number < 1"),
        ("few", Bounds(), "a list of at least 1 and at most 3, each an integer"),
    ],
)
def test_the_bounds_of_a_field_are_known_and_said(field: str, bounds: Any, expected: str) -> None:
    shape = shapes_of(Fields)[field]
    assert (shape.bounds, shape.expected) == (bounds, expected)
