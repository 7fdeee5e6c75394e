"""On a narrow ridge, joint search reaches a better point than one knob at a time."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest

PATH = Path(__file__).parent.parent.parent / "benchmarks" / "ridge.py"
SEEDS = 20
BUDGET = 60
CONTROL = "one at a time, 3 passes"
"""The strongest of its forms in benchmarks/results/ridge.json."""


@pytest.fixture(scope="module")
def ridge() -> Any:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    found = importlib.util.spec_from_file_location("ridge", PATH)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules["ridge"] = module
    found.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def control(ridge: Any) -> list[float]:
    return [ridge.found(ridge.Ridge(seed), CONTROL, BUDGET) for seed in range(SEEDS)]


def test_the_best_point_is_on_the_ridge_and_away_from_the_beginning(ridge: Any) -> None:
    for seed in range(SEEDS):
        loss = ridge.Ridge(seed)
        assert loss.best["dim"] >= 4 * ridge.ORIGIN["dim"]
        dim = float(loss.best["dim"])
        best = {**loss.best, "loc": 0.5 * math.log(dim)}
        assert loss.loss(best) == 0 < loss.loss(ridge.ORIGIN)
        # the best loc of every dimension is on the ridge, the beginning's too
        for other in (4, 16, 256):
            on = {**best, "dim": other, "loc": 0.5 * math.log(other)}
            assert loss.loss(on) < min(loss.loss({**on, "loc": on["loc"] + d}) for d in (-0.1, 0.1))
        assert ridge.ORIGIN["loc"] == 0.5 * math.log(16)


@pytest.mark.parametrize("arm", ["joint, starting distribution", "joint"])
def test_joint_search_beats_one_knob_at_a_time(ridge: Any, control: list[float], arm: str) -> None:
    losses = [ridge.found(ridge.Ridge(seed), arm, BUDGET) for seed in range(SEEDS)]
    assert sum(joint < other for joint, other in zip(losses, control, strict=True)) >= 17


def test_on_a_wide_ridge_one_knob_at_a_time_gets_ahead(ridge: Any, control: list[float]) -> None:
    wide = [ridge.found(ridge.Ridge(seed, 1.2), CONTROL, BUDGET) for seed in range(5)]
    assert max(wide) < min(control[:5])
