"""Spaces: which keys are searched, which go together, and what a point sets in a spec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from colaflex.spec import Spec, SpecError
from colaflex.studies.space.space import Space
from colaflex.studies.space.space_reading import read_space

LOC, DIM, BLOCK = "prior.schedule.loc", "representation.latent_dim", "prior.block_size"
PRIORS = ["flow_matching", {"type": "rectified_flow", "teacher_steps": 4}, "gaussian"]
EVERYTHING: Mapping[str, Any] = {
    LOC: {"low": -1, "high": 3},
    DIM: [8, 16, 32],
    BLOCK: "default",
    "prior": PRIORS,
    "prior.context": {"low": 0, "high": 8},
    "prior.network.layers": {"low": 1, "high": 4},
    "training.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
    "training.betas": [[0.9, 0.95], [0.9, 0.999]],
    "training.regime": ["frozen", "joint"],
    "prior.history_dropout": {"low": 0, "high": 0.5, "step": 0.25},
}


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def drawn(space: Space, count: int, seed: int = 0) -> list[tuple[optuna.Trial, Any]]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    trials = [study.ask() for _ in range(count)]
    return [(trial, space.suggest(trial)) for trial in trials]


def distributions(space: Space) -> dict[str, Any]:
    return {parameter.name: parameter.distribution for parameter in space.parameters}


def test_entries_become_the_distributions_that_they_say(base: Spec) -> None:
    space = read_space(EVERYTHING, base)
    assert distributions(space) == {
        "prior": CategoricalDistribution(["flow_matching", "rectified_flow", "gaussian"]),
        LOC: FloatDistribution(-1, 3),
        DIM: CategoricalDistribution([8, 16, 32]),
        BLOCK: CategoricalDistribution([1, 4, 8, 16]),
        "prior.context": IntDistribution(0, 8),
        "prior.network.layers": IntDistribution(1, 4),
        "training.learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
        "training.betas": CategoricalDistribution(["[0.9, 0.95]", "[0.9, 0.999]"]),
        "training.regime": CategoricalDistribution(["frozen", "joint"]),
        "prior.history_dropout": FloatDistribution(0, 0.5, step=0.25),
    }
    assert space.parameters[0].path == "prior"
    assert space.conditional
    assert {p.path: p.component for p in space.parameters if p.component} == {
        LOC: "flow_matching+rectified_flow",
        "prior.context": "gaussian",
        "prior.network.layers": "flow_matching+rectified_flow",
        "prior.history_dropout": "flow_matching+rectified_flow",
    }


def test_a_key_is_suggested_only_where_the_chosen_component_has_it(base: Spec) -> None:
    space = read_space(EVERYTHING, base)
    seen = set()
    for trial, point in drawn(space, 60):
        seen.add(point["prior"])
        flow = point["prior"] != "gaussian"
        assert (LOC in point) is flow
        assert ("prior.network.layers" in point) is flow
        assert ("prior.context" in point) is not flow
        assert DIM in point
        assert BLOCK in point
        assert space.params(point) == trial.params
        assert space.point(trial.params) == point
    assert seen == {"flow_matching", "rectified_flow", "gaussian"}


def test_every_point_sets_its_values_in_the_spec(base: Spec) -> None:
    space = read_space(EVERYTHING, base)
    for _, point in drawn(space, 40, seed=1):
        spec = space.spec(base, point)
        assert spec.prior is not None
        assert spec.representation is not None
        assert spec.prior.type == point["prior"]
        assert spec.representation.latent_dim == point[DIM]
        assert spec.training.betas == tuple(
            map(float, str(point["training.betas"])[1:-1].split(","))
        )
        assert spec.training.learning_rate == point["training.learning_rate"]
        assert getattr(spec.prior, "teacher_steps", 4) == 4
        if LOC in point:
            assert spec.prior.schedule.loc == point[LOC]  # type: ignore[attr-defined]
            assert spec.prior.network.layers == point["prior.network.layers"]  # type: ignore[attr-defined]
        else:
            assert spec.prior.context == point["prior.context"]  # type: ignore[attr-defined]


def test_the_default_point_is_the_base_where_it_lies_in_the_space(base: Spec) -> None:
    space = read_space(EVERYTHING, base)
    point = space.default_point(base)
    assert point == {
        "prior": "flow_matching",
        LOC: 0.5,
        DIM: 16,
        BLOCK: 4,
        "prior.network.layers": 1,
        "training.learning_rate": 1e-3,
        "training.betas": "[0.9, 0.95]",
        "training.regime": "frozen",
        "prior.history_dropout": 0.0,  # 0.1 on a grid of 0.25
    }


def test_the_default_point_is_the_nearest_where_the_base_lies_outside(base: Spec) -> None:
    space = read_space(
        {
            LOC: {"low": 1, "high": 3},
            DIM: [4, 8],
            "representation.log_snr": [1, 2, 3, 4],
            "prior": ["gaussian", "normalizing_flow"],
            "prior.context": {"low": 9, "high": 20},
            BLOCK: {"low": 5, "high": 9, "step": 2},
        }
        | {"prior": ["consistency", "gaussian"]},
        base,
    )
    assert space.default_point(base) == {
        "prior": "consistency",
        LOC: 1.0,
        DIM: 8,
        "representation.log_snr": 2.0,  # learned is no number: the middle
        BLOCK: 5,
    }
    assert space.default_point(base.override({"prior": "gaussian"}))["prior.context"] == 9


NUMBERS = st.integers(-100, 100)


@settings(
    max_examples=60, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(low=NUMBERS, width=st.integers(1, 50), steps=st.integers(0, 6), own=NUMBERS)
def test_default_points_lie_in_their_ranges(
    base: Spec, low: int, width: int, steps: int, own: int
) -> None:
    entry: dict[str, Any] = {"low": low / 10, "high": (low + width) / 10}
    if steps:
        entry |= {"high": (low + width * steps) / 10, "step": width / 10}
    if entry["low"] < -10 or entry["high"] > 10:
        with pytest.raises(SpecError, match="expected a number from -10 to 10"):
            read_space({LOC: entry}, base)
        return
    space = read_space({LOC: entry}, base)
    spec = base.override({LOC: own / 10})
    value = space.default_point(spec)[LOC]
    assert space.parameters[0].distribution._contains(float(value))
    inside = entry["low"] <= own / 10 <= entry["high"]
    if inside and not steps:
        assert value == own / 10
    assert abs(float(value) - own / 10) <= (
        entry.get("step", 0) / 2 + 1e-9
        if inside
        else max(entry["low"] - own / 10, own / 10 - entry["high"]) + 1e-9
    )


def test_components_within_a_searched_component_are_searched_too(base: Spec) -> None:
    space = read_space(
        {
            "prior": ["flow_matching", "gaussian"],
            "prior.solver": ["euler", "heun"],
            "prior.network": ["block_causal"],
            "prior.network.width": [16, 32],
            "prior.coupling": ["independent", {"type": "minibatch_ot"}],
        },
        base,
    )
    for _, point in drawn(space, 30):
        flow = point["prior"] == "flow_matching"
        inner = {"prior.solver", "prior.network", "prior.network.width", "prior.coupling"}
        assert (inner & set(point)) == (inner if flow else set())
        space.spec(base, point)


def test_the_same_component_with_other_options_is_another_choice(base: Spec) -> None:
    twice = ["flow_matching", {"type": "flow_matching", "noisings": 2}]
    space = read_space({"prior": twice}, base)
    labels = space.parameters[0].distribution.choices  # type: ignore[attr-defined]
    assert labels == ("flow_matching", 'flow_matching {"noisings": 2, "type": "flow_matching"}')
    assert [
        space.spec(base, {"prior": label}).prior.noisings  # type: ignore[union-attr]
        for label in labels
    ] == [1, 2]
    assert space.default_point(base.override({"prior.noisings": 2}))["prior"] == labels[0]
    assert len({str(described) for described in space.described()}) == 1


def test_a_refusal_of_one_component_alone_says_so(base: Spec) -> None:
    space = {"prior": ["flow_matching", "gaussian"], "prior.noise": [1]}
    with pytest.raises(SpecError, match=r"none of the choices of prior has it"):
        read_space(space, base)
    space = {"prior": ["flow_matching", "mean_flow"], "prior.solver": ["euler", "eulr"]}
    with pytest.raises(SpecError, match=r"space\.prior\.solver\.1: unknown solver 'eulr'"):
        read_space(space, base)


def test_choices_that_only_together_are_refused_fail_when_set(base: Spec) -> None:
    space = read_space({"prior.network.width": [16, 24], "prior.network.heads": [2, 4]}, base)
    space.spec(base, {"prior.network.width": 16, "prior.network.heads": 4})
    with pytest.raises(SpecError, match="does not split into"):
        space.spec(base, {"prior.network.width": 12, "prior.network.heads": 4})


def test_null_and_words_are_choices(base: Spec) -> None:
    space = read_space({"representation.log_snr": ["learned", 2], "tokenizer.path": [None]}, base)
    assert distributions(space) == {
        "representation.log_snr": CategoricalDistribution(["learned", 2.0]),
        "tokenizer.path": CategoricalDistribution(["null"]),
    }
    spec = space.spec(base, {"representation.log_snr": "learned", "tokenizer.path": "null"})
    assert spec.tokenizer.path is None
    assert space.default_point(base) == {
        "representation.log_snr": "learned",
        "tokenizer.path": "null",
    }


def test_a_storage_takes_every_distribution(base: Spec) -> None:
    space = read_space(EVERYTHING, base)
    study = optuna.create_study(storage="sqlite:///:memory:")
    trial = study.ask()
    point = space.suggest(trial)
    study.tell(trial, 1.0)
    stored = study.trials[0]
    assert space.point(stored.params) == point
    for parameter in space.parameters:
        if parameter.name in stored.distributions:
            assert stored.distributions[parameter.name] == parameter.distribution
