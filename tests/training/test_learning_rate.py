"""Schedules against their closed forms."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colaflex.training.stage_plan import Schedule, learning_rate_factor


def test_closed_forms() -> None:
    def at(schedule: Schedule, step: int) -> float:
        return learning_rate_factor(
            schedule, step, 100, warmup=10, final_ratio=0.1, decay_fraction=0.25
        )

    for schedule in ("cosine", "wsd", "constant"):
        assert [at(schedule, s) for s in range(10)] == [(s + 1) / 10 for s in range(10)]
        assert at(schedule, 10) == 1.0
    for step in range(10, 100):
        half = 0.5 * (1 + math.cos(math.pi * (step - 10) / 90))
        assert at("cosine", step) == pytest.approx(0.1 + 0.9 * half)
        assert at("constant", step) == 1.0
        decayed = 1.0 if step < 75 else 0.1 + 0.9 * (100 - step) / 25
        assert at("wsd", step) == pytest.approx(decayed)


@given(
    schedule=st.sampled_from(["cosine", "wsd", "constant"]),
    total=st.integers(1, 500),
    warmup=st.integers(0, 600),
    final=st.floats(0, 1),
    decay=st.floats(0, 1),
    data=st.data(),
)
def test_stays_within_bounds_and_never_rises_after_the_warm_up(
    schedule: Schedule, total: int, warmup: int, final: float, decay: float, data: st.DataObject
) -> None:
    def at(step: int) -> float:
        return learning_rate_factor(
            schedule, step, total, warmup=warmup, final_ratio=final, decay_fraction=decay
        )

    step = data.draw(st.integers(0, total - 1))
    assert 0 <= at(step) <= 1 + 1e-12
    if warmup <= step < total - 1:
        assert at(step + 1) <= at(step) + 1e-12
        assert at(step) >= final - 1e-12
