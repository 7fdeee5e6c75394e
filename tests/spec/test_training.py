from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from colaflex.spec import Spec
from colaflex.spec.shapes import shape_of
from colaflex.spec.training import GradientGate, StageFields, Training


@settings(deadline=None)
@given(
    st.integers(2, 10**6),
    st.sampled_from(["joint", "frozen", "interval"]),
    st.floats(0, 1),
)
def test_stages_share_the_budget(steps: int, regime: str, share: float):
    training = Training(steps=steps, regime=regime, stages={"representation": {"share": share}})
    first, second = training.for_stage("representation").steps, training.for_stage("prior").steps
    assert abs(first - share * steps) <= 1
    assert second == max(1, steps - first)


def test_a_stages_own_steps_change_no_other_stage():
    training = Training(steps=100)
    assert training.for_stage("representation").steps == 40
    assert training.for_stage("prior").steps == 60
    own = Training(steps=100, stages={"prior": {"steps": 7}})
    assert own.for_stage("representation").steps == 40
    assert own.for_stage("prior").steps == 7
    assert Training(steps=100, regime="scratch").for_stage("prior").steps == 100
    assert Training(steps=100, regime="scratch").for_stage("representation").steps == 40
    assert Training(steps=100).for_stage("baseline").steps == 100
    first = Training(steps=100, stages={"representation": {"steps": 30}})
    assert first.for_stage("prior").steps == 70
    half = Training(steps=100, stages={"prior": {"share": 0.5}})
    assert half.for_stage("prior").steps == 50
    assert Training(steps=1).for_stage("prior").steps == 1


def test_the_decoders_adaptation_takes_its_share_from_the_prior():
    adapted = Training(steps=100, stages={"adapt_decoder": {"share": 0.05}})
    steps = [adapted.for_stage(n).steps for n in ("representation", "prior", "adapt_decoder")]
    assert steps == [40, 55, 5]
    assert (adapted.adapts_decoder, adapted.adapted_share) == (True, 0.5)
    scratch = Training(
        steps=100, regime="scratch", stages={"adapt_decoder": {"steps": 7, "mix": 0.25}}
    )
    assert [scratch.for_stage(n).steps for n in ("prior", "adapt_decoder")] == [93, 7]
    assert scratch.adapted_share == 0.25
    assert Training(steps=1, stages={"adapt_decoder": {"steps": 9}}).for_stage("prior").steps == 1


@pytest.mark.parametrize("none", [{}, {"share": 0}, {"steps": 0, "mix": 0.7}, {"share": 0.0}])
def test_an_adaptation_of_no_steps_is_none(none: dict[str, Any]):
    assert Training(stages={"adapt_decoder": none}) == Training()
    assert not Training(stages={"adapt_decoder": none}).adapts_decoder
    prior = Training(stages={"prior": {"compile": True}})
    assert Training(stages={"prior": {"compile": True}, "adapt_decoder": none}) == prior


def test_an_adaptation_changes_a_run_but_not_its_stage_1():
    plain, none, some = (
        Spec.parse({"corpus": "bible", "training": {"stages": {"adapt_decoder": {"share": share}}}})
        for share in (None, 0, 0.1)
    )
    assert plain.digest() == none.digest() == Spec.parse({"corpus": "bible"}).digest()
    assert some.digest() != none.digest()
    assert some.stage1_digest() == none.stage1_digest()


def test_null_inherits():
    training = Training(
        learning_rate=0.5,
        stages={"prior": {"learning_rate": 0.25, "compile": True, "betas": (0, 0.5)}},
    )
    prior, other = training.for_stage("prior"), training.for_stage("representation")
    assert (prior.learning_rate, other.learning_rate) == (0.25, 0.5)
    assert (prior.compile, other.compile) == (True, False)
    assert prior.betas == (0, 0.5)
    assert set(type(prior).model_fields) == {*StageFields.model_fields, "steps"}


def test_warm_up_takes_at_most_half_the_stage():
    assert Training(steps=100).for_stage("representation").warmup_steps == 20
    assert Training(steps=10_000).for_stage("representation").warmup_steps == 100


@pytest.mark.parametrize(
    ("gate", "values"),
    [
        ({}, (0, 0, 0)),
        ({"start": 1, "end": 0}, (1, 0.5, 0)),
        ({"end": 1, "shape": "cosine"}, (0, 0.5, 1)),
        ({"start": 0.3, "end": 1, "shape": "constant"}, (0.3, 0.3, 0.3)),
        ({"end": 1, "begin_step_fraction": 0.5}, (0, 0, 1)),
        ({"end": 1, "begin_step_fraction": 0.5, "end_step_fraction": 0.5}, (0, 1, 1)),
    ],
)
def test_the_gate_moves_from_start_to_end(gate: dict[str, Any], values: Any):
    chosen = GradientGate(**gate)
    assert [chosen.value(p) for p in (0.0, 0.5, 1.0)] == pytest.approx(values)
    assert chosen.opens == any(values)


@settings(deadline=None)
@given(st.floats(0, 1), st.floats(0, 1), st.sampled_from(["linear", "cosine"]), st.floats(0, 1))
def test_the_gate_stays_between_its_ends(start: float, end: float, shape: str, progress: float):
    value = GradientGate(start=start, end=end, shape=shape).value(progress)
    assert min(start, end) - 1e-12 <= value <= max(start, end) + 1e-12


def test_every_field_of_every_section_is_described_and_says_what_it_takes():
    from colaflex.spec.schema import _reachable
    from colaflex.spec.sections import Document

    for model in {*_reachable([Document])}:
        for name, field in model.model_fields.items():
            assert field.description, (model, name)
            assert shape_of(field).expected, (model, name)
            if field.annotation in (int, float):
                text = shape_of(field).expected
                assert any(word in text for word in (" from ", " above ", ">=")), (model, name)
