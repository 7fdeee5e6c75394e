from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colaflex.evaluation.compare import compare_metrics, difference
from colaflex.interfaces.metric import Items, Measurement
from colaflex.statistics.intervals import mean, wilson

values = st.floats(-100, 100)
arms = st.floats(0, 10)


def around(value: float, below: float, above: float, n: int = 10) -> Measurement:
    return Measurement(value, value - below, value + above, n)


measurements = st.builds(around, values, arms, arms)


@given(measurements, measurements)
def test_difference_is_antisymmetric(one: Measurement, other: Measurement):
    there, back = difference(one, other), difference(other, one)
    assert there.value.value == -back.value.value
    assert there.value.low == pytest.approx(-back.value.high, abs=1e-9)
    assert (there.overlap, there.clear) == (back.overlap, back.clear)
    # Intervals that lie apart are a harder test than a difference's that leaves out 0.
    apart = max(other.low - one.high, one.low - other.high)
    assert there.clear or apart < 1e-9


def test_equal_symmetric_intervals_add_in_quadrature():
    found = difference(around(5, 1, 1), around(3, 1, 1))
    assert found.value.low == pytest.approx(2 - math.sqrt(2))
    assert found.value.high == pytest.approx(2 + math.sqrt(2))
    assert found.clear and found.overlap


def test_newcombes_hybrid_score_interval():
    # Newcombe 1998, method 10, example (a): 56/70 - 48/80.
    found = difference(wilson(56, 70), wilson(48, 80)).value
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=1e-4)


def test_it_is_a_test_at_the_five_percent_level():
    rng = np.random.default_rng(0)
    wrong = 0
    for repeat in range(300):
        one, other = (mean(rng.normal(size=60), repeat, i, resamples=300) for i in range(2))
        wrong += difference(one, other).clear
    assert 0.02 <= wrong / 300 <= 0.09


def test_rows_of_runs():
    first = {
        "a": {"value": 1.0, "low": 0.9, "high": 1.1, "n": 9},
        "b": {"value": 2.0, "low": None, "high": None, "n": 1},
    }
    second = {"a": {"value": 2.0, "low": 1.9, "high": 2.1, "n": 8}, "c": first["a"]}
    third = {"b": {"value": 3.0, "low": 2.0, "high": 4.0, "n": 5}}
    rows = compare_metrics([first, second, third])
    assert [row["metric"] for row in rows] == ["a", "b", "c"]
    a, b, c = rows
    assert a["values"] == [first["a"], second["a"], None]
    assert a["differences"][0]["value"] == 1 and a["differences"][0]["clear"]
    assert a["differences"][0]["n"] == 8 and a["differences"][1] is None
    assert b["differences"][1]["value"] == 1 and b["differences"][1]["low"] is None
    assert not b["differences"][1]["clear"]
    assert c["differences"] == [None, None]
    json.dumps(rows, allow_nan=False)
    assert compare_metrics([]) == []


def test_pairs_show_what_the_runs_own_intervals_hide():
    rng = np.random.default_rng(1)
    hard = rng.normal(0, 3, 200)
    runs = [hard, hard + rng.normal(0.2, 0.5, 200), hard[:150]]
    items = [{"a": Items(tuple(run))} for run in runs]
    metrics = [{"a": mean(run, str(i)).as_json()} for i, run in enumerate(runs)]
    apart = compare_metrics(metrics)[0]["differences"][0]
    assert not apart["clear"] and "p" not in apart
    pair, fewer = compare_metrics(metrics, items)[0]["differences"]
    assert pair["clear"] and pair["p"] < 0.01 and pair["low"] > 0
    assert pair["value"] == pytest.approx(apart["value"])
    assert "p" not in fewer
