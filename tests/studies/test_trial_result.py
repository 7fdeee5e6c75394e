"""What a trial found, out of results of runs."""

from typing import Any

import pytest

from colaflex.studies.work.trial_result import over_seeds, result_of_run


def result(value: float, reused: bool = False, digest: str = "a") -> dict[str, Any]:
    stages = [
        {"name": "representation", "flops": 100, "reused": reused},
        {"name": "prior", "flops": 40, "reused": False},
    ]
    return {
        "training": {"stages": stages, "flops": 140, "seconds": 7.0},
        "parameters": {"total": 9},
        "job_seconds": 11.0,
        "stage1_digest": digest,
        "metrics": {"x": {"value": value, "low": 0.0, "high": 1.0, "n": 4}},
    }


def test_a_reused_stage_1_costs_as_much_but_is_counted_once() -> None:
    own, found = result_of_run(result(0.5)), result_of_run(result(0.5, reused=True))
    assert own.flops == found.flops == 40
    assert own.stage1 == found.stage1 == {"a": 100}
    assert (own.reused, found.reused) == (0, 1)
    assert found.metrics["cost.flops"]["value"] == 140
    assert found.metrics["cost.parameters"]["value"] == 9
    assert found.seconds == 11


def test_a_baseline_has_no_stage_1() -> None:
    whole = result(0.5)
    del whole["training"]["stages"][0]
    assert result_of_run(whole | {"training": whole["training"] | {"flops": 40}}).stage1 == {}


def test_over_seeds_is_the_mean_with_its_t_interval() -> None:
    """Of 1, 2, 3: mean 2, standard error 1/√3, t of 2 degrees of freedom 4.3027."""
    rows = [
        result_of_run(result(value, digest=name))
        for name, value in zip("abc", (1, 2, 3), strict=False)
    ]
    mean = over_seeds(rows)
    row = mean.metrics["x"]
    assert (row["value"], row["n"]) == (2, 3)
    assert row["high"] - 2 == pytest.approx(4.302653 / 3**0.5, rel=1e-6)
    assert 2 - row["low"] == pytest.approx(4.302653 / 3**0.5, rel=1e-6)
    assert mean.stage1 == {"a": 100, "b": 100, "c": 100}
    assert mean.flops == 120


def test_what_only_some_seeds_measured_is_left_out() -> None:
    one, two = result_of_run(result(1)), result_of_run(result(2))
    assert set(over_seeds([one, two]).metrics) >= {"x", "cost.flops"}
    lacking = result_of_run(result(2) | {"metrics": {}})
    assert "x" not in over_seeds([one, lacking]).metrics


def test_why_a_metric_is_left_out_is_kept() -> None:
    lacking = result_of_run(result(2) | {"metrics": {}, "left_out": {"x": "means nothing"}})
    assert lacking.left_out == {"x": "means nothing"} and result_of_run(result(1)).left_out == {}
    assert over_seeds([result_of_run(result(1)), lacking]).left_out == {"x": "means nothing"}
