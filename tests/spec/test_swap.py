"""What a change of component keeps, drops and leaves at its default."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from colaflex.spec import Spec
from colaflex.spec.layers import read_set

PRIOR = {
    "type": "rectified_flow",
    "block_size": 8,
    "schedule": {"loc": 0.5},
    "network": {"width": 64},
    "prediction": "x0",
    "teacher_steps": 3,
}


def test_one_word_swaps_the_prior_and_the_report_says_what_became_of_it():
    spec = Spec.parse({"corpus": "bible", "prior": PRIOR})
    other = spec.override({"prior": "flow_matching"})
    (swap,) = other.swap_report
    assert str(swap).splitlines() == [
        "prior: rectified_flow -> flow_matching",
        "  kept      block_size=8, schedule={loc: 0.5}, network={width: 64}, prediction=x0",
        "  dropped   teacher_steps=3",
        "  defaulted readout, history, coupling, noisings, history_dropout, pinned_blocks, solver, "
        "loss_space, self_conditioning, trajectory, stagger, divergence, likelihood_steps",
    ]
    assert other.prior.type == "flow_matching"
    assert other.prior.block_size == 8
    assert other.prior.network.width == 64
    assert spec.prior.type == "rectified_flow"
    assert other.override({"seed": 1}).swap_report == []


def test_what_means_the_same_to_a_stranger_is_kept(menagerie: Any):
    prior = {**PRIOR, "history_dropout": 0.25}
    prior["schedule"] = {"loc": 0.5, "scale": 2}
    (swap,) = (
        Spec.parse({"corpus": "bible", "prior": prior}).override({"prior": "tiger"}).swap_report
    )
    # block_size is of the kind's base though tiger words it anew; schedule loses what it lacks;
    # history_dropout is worded alike; prediction is worded otherwise; tiger has no network.
    assert swap.kept == {"block_size": 8, "schedule": {"loc": 0.5}, "history_dropout": 0.25}
    assert swap.dropped == {"network": {"width": 64}, "prediction": "x0", "teacher_steps": 3}
    assert swap.defaulted == (
        "stripes", "prediction", "helpers", "mentor", "by_name", "since", "names", "small", "large",
        "low", "high", "lambda",
    )  # fmt: skip


def test_the_rule_is_one_for_set_override_and_extends(write: Callable[..., Path]):
    base = write("corpus: bible\nprior: {type: rectified_flow, block_size: 8, teacher_steps: 3}\n")
    child = write("extends: spec.yaml\nprior: flow_matching\nname: spec\n", "child.yaml")
    by_set = Spec.load(base, ["prior=flow_matching"])
    by_override = Spec.load(base).override({"prior": "flow_matching"})
    by_long_form = Spec.load(base).override({"prior": {"type": "flow_matching"}})
    by_extends = Spec.load(child)
    assert by_set == by_override == by_long_form == by_extends
    assert len({s.digest() for s in (by_set, by_override, by_extends)}) == 1
    reports = [str(s.swap_report[0]) for s in (by_set, by_override, by_extends)]
    assert len(set(reports)) == 1


def test_set_with_a_new_type_is_merged_after_the_swap():
    spec = Spec.parse({"corpus": "bible", "prior": PRIOR})
    values = {"prior.schedule.scale": 2, "prior": "flow_matching", "prior.block_size": 4}
    assert spec.override(values) == spec.override(dict(reversed(values.items())))
    other = spec.override(values)
    assert (other.prior.schedule.loc, other.prior.schedule.scale) == (0.5, 2.0)
    assert other.prior.block_size == 4
    both = spec.override({"prior": {"type": "flow_matching", "block_size": 4}})
    assert "block_size" not in both.swap_report[0].kept


def test_nested_components_swap_by_the_same_rule():
    spec = Spec.parse({"corpus": "bible", "prior": {"solver": {"type": "dopri5", "rtol": 0.1}}})
    kept = spec.override({"prior.solver": "bosh3"})
    assert (kept.prior.solver.type, kept.prior.solver.rtol) == ("bosh3", 0.1)
    gone = spec.override({"prior.solver": "euler"})
    (swap,) = gone.swap_report
    assert (swap.path, swap.dropped) == (("prior", "solver"), {"rtol": 0.1})


def test_the_same_type_however_spelt_is_no_swap():
    spec = Spec.parse({"corpus": "bible", "prior": PRIOR})
    same = spec.override({"prior": "colaflex:rectified_flow"})
    assert same.swap_report == []
    assert same == spec


def test_a_default_section_swaps_too():
    spec = Spec.parse({"corpus": "bible"}).override({"prior": "rectified_flow"})
    (swap,) = spec.swap_report
    assert str(swap).startswith("prior: flow_matching -> rectified_flow\n  defaulted block_size")


def test_a_baseline_takes_the_place_of_the_latent_sections(menagerie: Any):
    spec = Spec.parse(
        {"corpus": "bible", "prior": PRIOR, "representation": {"latent_dim": 8}, "seed": 3}
    )
    baseline = spec.override({"baseline": {"type": "parrot", "width": 4}})
    assert baseline.prior is baseline.representation is baseline.segmenter is None
    assert (baseline.baseline.width, baseline.seed) == (4, 3)
    (swap,) = baseline.swap_report
    assert (swap.old, swap.new) == ("representation + prior rectified_flow", "baseline parrot")
    assert set(swap.dropped) == {"prior", "representation"}
    assert "prior" not in baseline.resolved()
    assert set(baseline.components()) == {"corpus", "baseline"}
    with pytest.raises(ValueError, match="no stage 1"):
        baseline.stage1_digest()
    assert baseline.warnings == []
    back = baseline.override({"prior": "flow_matching"})
    assert back.baseline is None
    assert [str(s).splitlines()[0] for s in back.swap_report] == [
        "prior: baseline parrot -> prior flow_matching"
    ]
    assert baseline.override({"seed": 4}).swap_report == []
    assert Spec.parse({"corpus": "bible"}).override({"baseline": None}).baseline is None


def test_a_broken_old_type_keeps_nothing(menagerie: Any):
    spec = Spec.parse({"corpus": "bible"})
    values = {"prior": {"type": "tiger", "helpers": ["euler"]}}
    chosen = spec.override(values).override({"prior.helpers.0": "heun"})
    assert [solver.type for solver in chosen.prior.helpers] == ["heun"]
    assert chosen.override({"prior.by_name": {"a": {"loc": 1}}}).prior.by_name["a"].loc == 1


NUMBERS = {
    "block_size": st.integers(1, 64),
    "noisings": st.integers(1, 8),
    "schedule": st.fixed_dictionaries({}, optional={"loc": st.floats(-3, 3)}),
    "network": st.fixed_dictionaries({}, optional={"layers": st.integers(1, 8)}),
    "prediction": st.sampled_from(["velocity", "x0"]),
}


@settings(max_examples=40, deadline=None)
@given(st.fixed_dictionaries({}, optional=NUMBERS))
def test_there_and_back_is_the_identity_between_priors_of_the_same_keys(options: Any):
    spec = Spec.parse({"corpus": "bible", "prior": {"type": "flow_matching", **options}})
    there = spec.override({"prior": "rectified_flow"})
    assert there.override({"prior": "flow_matching"}) == spec
    assert there.stage1_digest("d") == spec.stage1_digest("d")
    assert there.digest("d") != spec.digest("d")
    (swap,) = there.swap_report
    assert not swap.dropped
    assert {*swap.kept, *swap.defaulted} == {
        *type(there.prior).model_fields.keys() - {"type"}
    }  # fmt: skip


@pytest.mark.parametrize(
    ("argument", "path", "value"),
    [
        ("a=1", ("a",), 1),
        ("a.b.c=1e-3", ("a", "b", "c"), 0.001),
        ("a=x=y", ("a",), "x=y"),
        ("a=", ("a",), None),
        ("a=no", ("a",), "no"),
        ("a.0=[1, {b: 2}]", ("a", "0"), [1, {"b": 2}]),
        (" a . b =1", ("a", "b"), 1),
    ],
)
def test_the_grammar_of_set(argument: str, path: Path, value: Any):
    keys, node = read_set(argument)
    assert (keys, node.plain) == (path, value)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.from_regex(r"[a-z_0-9]{1,8}", fullmatch=True), min_size=1, max_size=4),
    st.integers() | st.booleans() | st.none() | st.from_regex(r"[a-z]{1,6}", fullmatch=True),
)
def test_set_reads_what_yaml_reads(keys: list[str], value: Any):
    text = {None: "null", True: "true", False: "false"}.get(value, str(value))
    if isinstance(value, int) and not isinstance(value, bool):
        text = str(value)
    if value in ("true", "null"):
        return
    found, node = read_set(f"{'.'.join(keys)}={text}")
    assert found == tuple(keys)
    assert node.plain == value or text in ("false",)
