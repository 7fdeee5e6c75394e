"""Signs of likelihoods: none of exact ones, ≤ of bounds, ≈ of estimates, in every printed place."""

from __future__ import annotations

import io
from typing import Any

import pytest

from colaflex.interfaces.metric import Measurement
from colaflex.metrics.likelihood import by_readout, declared_likelihood, signed
from colaflex.report import print_summary
from colaflex.report.headline import main_results
from colaflex.report.text_summary import seed_rows
from colaflex.spec import Spec

BITS = "likelihood.bits_per_byte"


@pytest.mark.parametrize(
    ("declared", "expected"),
    [("exact", "1.93"), ("bound", "≤ 1.93"), ("ode", "≈ 1.93"), (None, "≤ 1.93")],
)
def test_a_number_has_the_sign_of_what_it_is(declared: Any, expected: str) -> None:
    assert signed(BITS, "1.93", declared) == expected
    assert signed("generation.judge_nll", "1.93", declared) == "1.93"
    assert signed("likelihood.integration_error", "1.93", declared) == "1.93"
    assert signed(BITS, "–", declared) == "–"


@pytest.mark.parametrize(("declared", "sign"), [("exact", ""), ("bound", "≤ "), ("ode", "≈ ")])
def test_summary_and_headline_show_it(declared: str, sign: str) -> None:
    entry = {"value": 1.93, "low": 1.9, "high": 1.96, "n": 40}
    shown = io.StringIO()
    print_summary({"likelihood": declared, "metrics": {BITS: entry}}, shown)
    assert f"{sign}1.93" in shown.getvalue()
    assert ("≤" in shown.getvalue(), "≈" in shown.getvalue()) == ("≤" in sign, "≈" in sign)
    (result,) = main_results({BITS: Measurement(1.93, 1.9, 1.96, 40)}, likelihood=declared)
    assert result.value == f"{sign}1.93"
    several = [{"likelihood": declared, "metrics": {BITS: entry | {"value": v}}} for v in (1, 3)]
    ((_, *values, spread),) = seed_rows([*several, {"likelihood": declared, "metrics": {}}])
    assert values == [f"{sign}1.00", f"{sign}3.00", "—", f"{sign}2.00"]
    assert spread == "± 1.41"


@pytest.mark.parametrize(
    ("prior", "declared"),
    [
        ("flow_matching", "ode"),
        ("cnf", "ode"),
        ("rectified_flow", "ode"),
        ("gaussian", "bound"),
        ("normalizing_flow", "bound"),
        ("shortcut", "none"),
    ],
)
def test_what_a_model_declares(prior: str, declared: str) -> None:
    spec = Spec.load("specs/worlds.yaml").override({"prior": prior, "sampling.guidance": 1})
    assert declared_likelihood(spec) == declared


@pytest.mark.parametrize(
    ("prior", "readout", "declared"),
    [
        ("flow_matching", "auto", "bound"),
        ("flow_matching", "recurrent", "bound"),
        ("flow_matching", "block_recurrent", "bound"),
        ("flow_matching", "second_head", "ode"),
        ("flow_matching", "linear", "ode"),
        ("consistency", "auto", "none"),
        ("normalizing_flow", None, "bound"),
    ],
)
def test_a_readout_that_draws_text_bounds_its_likelihood(
    prior: str, readout: str | None, declared: str
) -> None:
    sets = {"prior": prior, "sampling.guidance": 1, "evaluation.likelihood": "readout"}
    chosen = {} if readout is None else {"prior.readout": readout}
    spec = Spec.load("specs/worlds.yaml").override({**sets, **chosen})
    assert declared_likelihood(spec) == declared
    assert by_readout(spec) == (
        readout in ("auto", "recurrent", "block_recurrent") and prior == "flow_matching"
    )
