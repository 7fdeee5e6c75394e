"""Pruners by name: what falls behind ends early, the best never."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import optuna
import pytest

from colaflex.errors import UserError
from colaflex.studies.sampling.pruners import PRUNERS, build_pruner, check_pruner
from colaflex.studies.sampling.sampler_options import Named

TRIALS = 40
RUNGS: dict[str, tuple[int, dict[str, Any]]] = {
    "successive_halving": (2, {}),
    "hyperband": (3, {}),
    "median": (2, {}),
    "percentile": (2, {"percentile": 30.0}),
    "threshold": (2, {"lower": -0.6, "upper": 0.6}),
    "wilcoxon": (8, {}),
}
"""How often a trial is measured, and the options."""


def curves(name: str, steps: int, sign: int) -> tuple[np.ndarray, np.ndarray]:
    """Values of trials (trials, steps) that approach their ends in one order, and these ends."""
    rng = np.random.default_rng(7)
    ends = sign * rng.permutation(np.linspace(0.0, 1.0, TRIALS))
    if name == "wilcoxon":  # seeds: noise that all trials share, and a little of their own
        noise = rng.normal(0, 0.5, steps) + rng.normal(0, 0.02, (TRIALS, steps))
        return ends[:, None] + noise, ends
    progress = 1 - np.exp(-np.arange(1, steps + 1) / 2)
    return ends[:, None] * progress, ends


def pruned(name: str, options: dict[str, Any], steps: int, sign: int) -> set[int]:
    values, ends = curves(name, steps, sign)
    with warnings.catch_warnings():
        warnings.simplefilter("error", optuna.exceptions.ExperimentalWarning)
        pruner = build_pruner(Named(type=name, options=options), steps)
    study = optuna.create_study(
        direction="maximize" if sign > 0 else "minimize", pruner=pruner, study_name="curves"
    )
    for row, end in zip(values, ends, strict=True):
        trial = study.ask()
        for step, value in enumerate(row, 1):
            trial.report(float(value), step)
            if trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, float(row.mean()) if name == "wilcoxon" else float(end))
    return {trial.number for trial in study.trials if trial.state.name == "PRUNED"}


@pytest.mark.parametrize("sign", [1, -1], ids=["higher", "lower"])
@pytest.mark.parametrize("name", RUNGS)
def test_the_bad_end_early_and_the_best_never(name: str, sign: int) -> None:
    steps, options = RUNGS[name]
    if name == "threshold":
        options = {"lower": 0.2} if sign > 0 else {"upper": -0.2}
    found = pruned(name, options, steps, sign)
    _, ends = curves(name, steps, sign)
    order = np.argsort(-sign * ends)  # best first
    assert int(order[0]) not in found
    assert len(found) >= TRIALS // 5
    # of the pruned, more come from the worse half
    worse = len(found & set(order[TRIALS // 2 :].tolist()))
    assert worse > len(found) / 2


def test_hyperband_has_brackets_for_its_rungs() -> None:
    few, many = (len(pruned("hyperband", {}, rungs, 1)) for rungs in (1, 7))
    assert 0 < few < many


@pytest.mark.parametrize("named", [None, Named(type="none")], ids=str)
def test_none_prunes_nothing(named: Named | None) -> None:
    study = optuna.create_study(pruner=build_pruner(named, 2))
    for value in range(20):
        trial = study.ask()
        trial.report(float(value), 1)
        assert not trial.should_prune()
        study.tell(trial, float(value))


def test_a_value_that_is_no_number_is_pruned() -> None:
    study = optuna.create_study(pruner=build_pruner(Named(type="successive_halving"), 2))
    trial = study.ask()
    trial.report(math.nan, 1)
    assert trial.should_prune()


WRONG = [
    (
        "succesive_halving",
        {},
        "unknown pruner 'succesive_halving'; did you mean `successive_halving`?",
    ),
    ("medain", {}, "unknown pruner 'medain'; did you mean `median`?"),
    ("hyperband", {"max_ressource": 3}, "did you mean `max_resource`?"),
    ("hyperband", {"max_resource": "all"}, "max_resource of pruner hyperband can't be 'all'"),
    ("successive_halving", {"reduction_factor": 1}, "expected 2 or more"),
    ("successive_halving", {"reduction_factor": 2.5}, "can't be 2.5; expected int"),
    ("percentile", {}, "pruner percentile needs the option 'percentile'"),
    ("percentile", {"percentile": 120}, "expected 100 or less"),
    ("threshold", {}, "pruner threshold needs the option 'lower' or 'upper'"),
    ("threshold", {"lower": 2.0, "upper": 1.0}, "lower of pruner threshold lies above upper"),
    ("wilcoxon", {"p_threshold": -0.1}, "expected 0 or more"),
    ("none", {"patience": 1}, "pruner none has no option 'patience'; it has none"),
]


@pytest.mark.parametrize(("name", "options", "message"), WRONG, ids=lambda part: str(part)[:30])
def test_what_is_wrong_is_said_with_what_would_be_right(
    name: str, options: dict[str, Any], message: str
) -> None:
    named = Named(type=name, options=options)
    assert message in check_pruner(named)
    with pytest.raises(UserError) as error:
        build_pruner(named, 2)
    assert message in str(error.value)


@pytest.mark.parametrize("name", PRUNERS)
def test_every_option_that_is_offered_can_be_given(name: str) -> None:
    some = {"int": 2, "float": 0.5, "str": "auto"}
    options = {
        option: some["int" if "int" in kind.types else kind.types[0]]
        for option, kind in PRUNERS[name].options.items()
    }
    assert check_pruner(Named(type=name, options=options)) == ""
    build_pruner(Named(type=name, options=options), 2)
