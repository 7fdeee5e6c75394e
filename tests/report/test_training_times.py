"""The law of training times that a report shows, against the schedules themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import colaflex
from colaflex.report.training_times import law_of_times

LAWS: list[dict[str, Any]] = [
    {"type": "uniform"},
    {"type": "tangent", "shift": 5.0},
    {"type": "logit_normal", "loc": 1.5, "scale": 0.8},
    {"type": "logit_normal", "loc": "auto", "scale": 1.0},
]


@pytest.mark.parametrize("spec", LAWS, ids=str)
def test_it_is_the_law_of_the_schedule(spec: dict[str, Any]) -> None:
    law = law_of_times({**spec, "type": f"colaflex:{spec['type']}"}, 64)
    assert law is not None
    options = {key: value for key, value in spec.items() if key != "type"}
    schedule = colaflex.build("schedule", spec["type"], latent_dim=64, **options)
    times = schedule.quantile(torch.linspace(0, 1, 20_001, dtype=torch.float64))[1:-1]
    for time in (0.2, 0.5, 0.9):
        assert law.above(time) == pytest.approx(float((times > time).double().mean()), abs=1e-4)
    edges = np.linspace(-4, 4, 41)
    counted = np.histogram(times.logit().numpy(), edges)[0]
    shape = law.density((edges[1:] + edges[:-1]) / 2)
    np.testing.assert_allclose(counted / counted.sum(), shape / shape.sum(), atol=1e-3)


@pytest.mark.parametrize(
    "schedule",
    [None, 3, {"type": "stranger:mine"}, {"type": "colaflex:logit_normal", "loc": "auto"}],
)
def test_what_the_spec_does_not_tell_is_not_shown(schedule: object) -> None:
    assert law_of_times(schedule) is None


def test_runs_of_earlier_versions_are_read() -> None:
    uniform = law_of_times({"distribution": "uniform", "loc": 1.0, "scale": 1.0})
    assert uniform == law_of_times({"type": "colaflex:uniform"})
    normal = law_of_times({"distribution": "logit_normal", "loc": 0.5, "scale": 1.0})
    assert normal is not None and normal.above(0.5) > 0.5
