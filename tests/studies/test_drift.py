"""The drift test on planted optima: it finds the drift that is there, and no other."""

from __future__ import annotations

import importlib.util
import math
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from colaflex.studies.explanation.explanation import Drift


def planted_optimum() -> Any:
    path = Path(__file__).parents[2] / "benchmarks/planted_optimum.py"
    spec = importlib.util.spec_from_file_location("planted_optimum", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["planted_optimum"] = module
    spec.loader.exec_module(module)
    return module


PLANTED = planted_optimum()


def found_in(planted: Any, sampler: str, trials: int, seed: int) -> Drift:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # multivariate TPE is experimental
        records = PLANTED.search(planted, sampler, trials, seed)
    result: Drift = PLANTED.drift_of(records, seed)
    return result


@pytest.mark.parametrize("dim", [4, 16, 128])
@pytest.mark.parametrize("strength", [0.5, 1.0, 2.0])
def test_the_planted_optimum_is_where_the_formula_says(dim: int, strength: float) -> None:
    planted = PLANTED.Planted(strength=strength)
    best = planted.optimum(dim)
    assert best == pytest.approx(0.5 * math.log(dim * strength**2))
    for shift in np.linspace(0.01, 2, 12):
        above, below = planted.value(dim, best + shift), planted.value(dim, best - shift)
        assert above == pytest.approx(below, rel=1e-6)
        assert above < planted.value(dim, best)


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_the_drift_is_found_and_follows_the_law(sampler: str) -> None:
    found = [found_in(PLANTED.Planted(), sampler, 60, seed) for seed in range(20)]
    assert sum(bool(d.found and d.agrees) for d in found) >= 17
    assert sum(d.p_value <= 0.05 for d in found) >= 17
    assert all(d.law == 0.5 and d.log for d in found)


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_no_drift_is_found_where_there_is_none(sampler: str) -> None:
    found = [found_in(PLANTED.Planted(shared=False), sampler, 60, seed) for seed in range(20)]
    assert sum(not d.found for d in found) >= 17
    assert sum(d.p_value > 0.05 for d in found) >= 17
