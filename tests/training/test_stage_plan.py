"""How stages share out their steps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_model import Settings, TinyModel, with_settings

from colaflex.errors import UserError
from colaflex.interfaces.stage import Stage
from colaflex.spec.training import Training
from colaflex.training.stage_plan import StagePlan, plan_stages


def _of_share(share: float) -> Stage:
    _, stage = TinyModel().stages()
    stage.share = share
    return stage


@given(steps=st.integers(0, 10_000), shares=st.lists(st.floats(0.01, 1), min_size=1, max_size=5))
def test_stages_with_the_same_settings_divide_their_steps(steps: int, shares: list[float]) -> None:
    stages = [_of_share(share) for share in shares]
    plans = plan_stages(stages, lambda name: with_settings(steps=steps))
    assert sum(plan.steps for plan in plans) == steps
    for plan, share in zip(plans, shares, strict=True):
        assert plan.steps == pytest.approx(steps * share / sum(shares), abs=1.01)


def test_settings_of_a_spec_fit() -> None:
    training = Training(steps=100, stages={"prior": {"learning_rate": 0.5}})
    stages = TinyModel().stages()
    plans = plan_stages(stages, training.for_stage)
    assert [plan.steps for plan in plans] == [training.for_stage(s.name).steps for s in stages]
    assert plans[1].learning_rate(plans[1].steps // 2) > 0.05


def test_the_warm_up_never_takes_more_than_half() -> None:
    stage = TinyModel().stages()[0]
    plan = StagePlan(stage, Settings(steps=4, warmup_steps=100, learning_rate=1.0), 4)
    assert [plan.learning_rate(step) for step in range(3)] == [0.5, 1.0, 1.0]


def test_rows_of_a_share() -> None:
    plan = StagePlan(TinyModel().stages()[0], with_settings(batch_size=12), 4)
    assert plan.rows_of_a_share(4) == 3
    with pytest.raises(UserError, match="nearest size that can is 10"):
        plan.rows_of_a_share(5)
