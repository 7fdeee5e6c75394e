from __future__ import annotations

import json
import math
from dataclasses import replace

import made_up_studies as made_up
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colaflex.errors import UserError
from colaflex.studies.summary import Law, StudySummary, from_json, tidy, to_json


@pytest.mark.parametrize("name", ["ridge", "empty", "few", "none_complete", "two_goals"])
def test_a_file_holds_all_of_it(name: str) -> None:
    summary = getattr(made_up, name)()
    text = to_json(summary)
    again = from_json(text)
    assert again == tidy(summary) and to_json(again) == text
    assert json.loads(text)["schema"] == 1


def test_types_of_values_survive() -> None:
    point = {"a": True, "b": 1, "c": 1.0, "d": "1"}
    record = made_up.record(0, point, 0.5)
    summary = replace(made_up.empty(), arms={"search": made_up.arm([record], "tpe")})
    found = from_json(to_json(summary)).arms["search"].records[0].point
    assert [(value, type(value)) for value in found.values()] == [
        (value, type(value)) for value in point.values()
    ]


def test_what_is_no_number_stays_none() -> None:
    text = to_json(made_up.unknown())
    json.loads(text, parse_constant=pytest.fail)  # strict JSON: no NaN
    told = from_json(text).explanation
    assert told is not None and math.isnan(told.drifts[0].slope.low)


@given(st.text())
def test_any_name_can_be_written_and_read(name: str) -> None:
    summary = StudySummary(name, title=name)
    assert from_json(to_json(summary)).study == tidy(summary).study
    to_json(summary).encode()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "s.json: not JSON"),
        ("[]", "s.json: expected the summary of a study"),
        ('{"schema": 9, "study": "x"}', "s.json: schema: expected 1, found 9"),
        ('{"schema": 1}', "s.json: study: Field required"),
        ('{"schema": 1, "study": "x", "goals": [{"metric": 3}]}', "s.json: goals.0.metric: "),
    ],
)
def test_another_file_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(UserError) as refused:
        from_json(text, "s.json")
    assert str(refused.value).startswith(said)


def test_the_law() -> None:
    law = Law("loc", "d")
    assert law.predicts(16) == 1.0
    assert law.predicts(16 * math.e**2) == pytest.approx(2.0)
    assert math.isnan(law.predicts(0))
