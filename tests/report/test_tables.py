"""Stages of a result in the report, whatever a result from elsewhere holds."""

from __future__ import annotations

from typing import Any

import pytest

from colaflex.report.tables import stage_rows


@pytest.mark.parametrize("stages", [7, "text", [7], ["x"], [[1]], None, {"a": 7}, [{}, 7]])
def test_what_is_no_stage_is_left_out(stages: Any) -> None:
    rows = stage_rows({"training": {"stages": stages, "steps": 3}})
    assert rows[-1][0] == "all" and rows[-1][1][0] == "3"
    assert [name for name, _, _ in rows[:-1]] == [""] * (stages == [{}, 7])
