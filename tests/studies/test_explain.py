"""Explaining a study: what is known of formulas is found, and want of trials is said in words."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from colaflex.studies.explanation.explain import explain
from colaflex.studies.explanation.explanation import Explanation
from colaflex.studies.objective import Point
from colaflex.studies.trials import State, TrialRecord

LOC, DIM, SNR = "prior.schedule.loc", "representation.latent_dim", "representation.log_snr"
RATE, KIND, CAUSAL = "training.learning_rate", "prior", "prior.causal"


@dataclass(frozen=True)
class KeyValues:
    path: str
    distribution: BaseDistribution


@dataclass(frozen=True)
class Space:
    parameters: tuple[KeyValues, ...] = (
        KeyValues(DIM, CategoricalDistribution((8, 16, 32))),
        KeyValues(LOC, FloatDistribution(-1.0, 3.0)),
        KeyValues(SNR, CategoricalDistribution((1, 2, 3, 4))),
    )


def point_of(rng: np.random.Generator, space: Space) -> Point:
    point = {}
    for searched in space.parameters:
        drawn_from = searched.distribution
        if isinstance(drawn_from, CategoricalDistribution):
            point[searched.path] = drawn_from.choices[int(rng.integers(len(drawn_from.choices)))]
        elif isinstance(drawn_from, FloatDistribution) and drawn_from.log:
            ends = math.log(drawn_from.low), math.log(drawn_from.high)
            point[searched.path] = math.exp(rng.uniform(*ends))
        elif isinstance(drawn_from, FloatDistribution):
            point[searched.path] = rng.uniform(drawn_from.low, drawn_from.high)
        elif isinstance(drawn_from, IntDistribution):
            point[searched.path] = int(rng.integers(drawn_from.low, drawn_from.high + 1))
    return {key: value for key, value in point.items() if value is not None}


def trials(
    objective: Callable[[Point], float],
    n: int,
    seed: int = 0,
    noise: float = 0.1,
    space: Space | None = None,
    state: State = "complete",
) -> list[TrialRecord]:
    rng = np.random.default_rng(seed)
    records = []
    for number in range(n):
        point = point_of(rng, space or Space())
        value = objective(point) + noise * float(rng.standard_normal())
        values = (value,) if state == "complete" else ()
        records.append(TrialRecord(number, state, point, values))
    return records


def bell(z: float) -> float:
    return math.exp(-0.5 * (z / 0.8) ** 2)


def ridge(point: Point) -> float:
    return bell(float(point[LOC]) - 1 - 0.5 * math.log(float(point[DIM]) / 16))


def added(point: Point) -> float:
    return bell(float(point[LOC]) - 1) + 0.1 * math.log(float(point[DIM])) + 0.1 * float(point[SNR])


def interaction_of(found: Explanation, *paths: str) -> tuple[float, float]:
    pair = next(i for i in found.interactions if {i.first, i.second} == set(paths))
    return pair.share.value, pair.p_value


def test_a_ridge_is_an_interaction_and_a_drift() -> None:
    found = explain(trials(ridge, 60), Space(), "higher")
    share, p = interaction_of(found, LOC, DIM)
    assert share > 0.08 and p < 0.01
    assert {found.interactions[0].first, found.interactions[0].second} == {LOC, DIM}
    along_dim, along_snr = found.drifts
    assert (along_dim.of, along_dim.along, along_dim.law) == (LOC, DIM, 0.5)
    assert along_dim.found and along_dim.agrees and along_dim.p_value < 0.01
    assert (along_snr.along, along_snr.log, along_snr.law) == (SNR, False, None)
    assert along_snr.slope.covers(0)
    assert [level.level for level in along_dim.levels] == pytest.approx([8, 16, 32])
    assert [level.label for level in along_dim.levels] == ["8", "16", "32"]
    for level in along_dim.levels:
        assert level.optimum.covers(1 + 0.5 * math.log(level.level / 16))
        assert level.trials == len(level.points) and not level.at_edge


def test_effects_that_add_up_are_no_interaction_and_no_drift() -> None:
    shares, below, drifts = [], [], 0
    for seed in range(30):
        found = explain(trials(added, 50, seed), Space(), "higher")
        values = [interaction_of(found, *pair) for pair in ((LOC, DIM), (LOC, SNR), (DIM, SNR))]
        shares += [share for share, _ in values]
        below += [p for _, p in values]
        drifts += sum(drift.found for drift in found.drifts)
    assert np.mean(shares) < 0.03
    assert np.mean(np.array(below) <= 0.05) <= 0.12  # 90 tests
    assert 0.3 < np.mean(np.array(below) <= 0.5) < 0.7
    assert drifts <= 8  # of 60


def test_importances_are_the_shares_of_variance() -> None:
    """Of a sum of two, where neither has an effect beyond its own."""

    def objective(point: Point) -> float:
        return math.sqrt(2) * math.cos(math.pi * (float(point[LOC]) + 1) / 4) + 0.5 * (
            float(point[SNR]) - 2.5
        )

    inside = 0
    for seed in range(20):
        found = explain(trials(objective, 60, seed, noise=0.3), Space(), "higher")
        by_name = {importance.name: importance for importance in found.importances}
        truth = {LOC: 1 / (1 + 0.25 * 1.25), SNR: 0.25 * 1.25 / (1 + 0.25 * 1.25), DIM: 0.0}
        assert [i.name for i in found.importances][:2] == [LOC, SNR]
        for name, share in truth.items():
            assert by_name[name].value == pytest.approx(share, abs=0.15)
            assert by_name[name].low <= by_name[name].value <= by_name[name].high
            inside += by_name[name].low <= share <= by_name[name].high
    assert inside >= 51  # of 60


def test_less_may_be_better() -> None:
    records = trials(lambda point: -ridge(point), 60)
    found = explain(records, Space(), "lower").drifts[0]
    assert found.found and found.agrees
    middle = found.levels[1]
    best = int(np.argmin(middle.curve_y))
    assert middle.curve_x[best] == pytest.approx(1, abs=0.3)
    raw = [record.values[0] for record in records if record.point[DIM] == 16]
    assert np.mean([y for _, y in middle.points]) == pytest.approx(np.mean(raw), abs=0.05)


def test_other_settings_effects_are_taken_out() -> None:
    """Large ones, without which the drift couldn't be seen."""

    def objective(point: Point) -> float:
        return ridge(point) + 2 * float(point[SNR])

    found = explain(trials(objective, 60), Space(), "higher").drifts[0]
    assert found.found and found.agrees
    assert found.slope.high - found.slope.low < 0.7


def test_an_optimum_beyond_the_range_is_said_to_be_there() -> None:
    def objective(point: Point) -> float:
        return bell(float(point[LOC]) - 3.2 - 0.5 * math.log(float(point[DIM]) / 16))

    found = explain(trials(objective, 60), Space(), "higher")
    last = found.drifts[0].levels[-1]
    assert last.at_edge and last.optimum.value == 3 and last.optimum.high > 3.5
    assert any("at an end of the range" in note and "32" in note for note in found.notes)


def test_where_loc_does_not_matter_nothing_is_claimed() -> None:
    claimed = 0
    for seed in range(20):
        found = explain(trials(lambda point: 0.0, 40, seed), Space(), "higher")
        claimed += found.drifts[0].found
        assert found.drifts[0].slope.low < found.drifts[0].slope.high
    assert claimed <= 3
    assert any("clearly better" in note for note in found.notes)


def test_a_category_has_optima_and_a_p_value_but_no_slope() -> None:
    space = Space(
        (
            KeyValues(KIND, CategoricalDistribution(("flow_matching", "rectified_flow"))),
            KeyValues(CAUSAL, CategoricalDistribution((True, False))),
            KeyValues(LOC, FloatDistribution(-1.0, 3.0)),
        )
    )

    def objective(point: Point) -> float:
        shift = 1.0 if point[KIND] == "rectified_flow" else 0.0
        return bell(float(point[LOC]) - 0.5 - shift)

    found = explain(trials(objective, 60, space=space), space, "higher")
    by_along = {drift.along: drift for drift in found.drifts}
    assert math.isnan(by_along[KIND].slope.value) and not by_along[KIND].found
    assert by_along[KIND].p_value < 0.01 < 0.05 < by_along[CAUSAL].p_value
    first, second = by_along[KIND].levels
    assert (first.label, second.label) == ("flow_matching", "rectified_flow")
    assert first.optimum.covers(0.5) and second.optimum.covers(1.5)
    assert [level.label for level in by_along[CAUSAL].levels] == ["False", "True"]


def test_a_category_that_moves_nothing_is_called_one_in_few_studies() -> None:
    space = Space(
        (
            KeyValues(KIND, CategoricalDistribution(("a", "b", "c"))),
            KeyValues(LOC, FloatDistribution(-1.0, 3.0)),
        )
    )
    p = [
        explain(
            trials(lambda point: bell(float(point[LOC]) - 1), 40, seed, space=space),
            space,
            "higher",
        )
        .drifts[0]
        .p_value
        for seed in range(40)
    ]
    assert sum(value <= 0.05 for value in p) <= 5


def test_ranges_on_a_log_scale_are_explained_there() -> None:
    space = Space(
        (
            KeyValues(RATE, FloatDistribution(1e-5, 1e-1, log=True)),
            KeyValues("training.batch", IntDistribution(1, 64, log=True)),
            KeyValues(DIM, IntDistribution(4, 64)),
        )
    )

    def objective(point: Point) -> float:
        return bell(
            math.log(float(point[RATE])) - math.log(1e-3) - 0.5 * math.log(float(point[DIM])) + 1.5
        )

    found = explain(trials(objective, 80, space=space), space, "higher")
    drift = next(d for d in found.drifts if d.along == DIM)
    assert drift.of == RATE and drift.log and drift.slope.covers(0.5) and drift.found
    assert len(drift.levels) == 5  # groups of trials
    assert all(1e-5 <= level.optimum.value <= 1e-1 for level in drift.levels)
    assert drift.levels[0].curve_x[0] == pytest.approx(1e-5)
    assert drift.law is None


def test_settings_that_have_no_meaning_in_some_trials() -> None:
    """A prior without a schedule has no location."""
    space = Space(
        (
            KeyValues(KIND, CategoricalDistribution(("flow_matching", "gaussian"))),
            KeyValues(LOC, FloatDistribution(-1.0, 3.0)),
            KeyValues(DIM, CategoricalDistribution((8, 16, 32))),
        )
    )
    records = []
    for record in trials(lambda point: 0.0, 80, space=space, noise=0.1):
        point = dict(record.point)
        if point[KIND] == "gaussian":
            del point[LOC]
            value = record.values[0] - 0.5
        else:
            value = record.values[0] + ridge(point)
        records.append(TrialRecord(record.number, "complete", point, (value,)))
    found = explain(records, space, "higher")
    drift = next(d for d in found.drifts if d.along == DIM)
    assert drift.found and drift.agrees
    assert sum(level.trials for level in drift.levels) < 80
    assert any(f"best {LOC} depends on {KIND} can't be said" in note for note in found.notes)


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ([], "there are 0"),
        (trials(ridge, 5), "there are 5"),
        (trials(ridge, 30, state="pruned"), "30 trials were pruned"),
        (trials(ridge, 1, state="failed"), "1 trial was failed"),
        (trials(lambda point: math.nan, 20), "not a number"),
        (trials(lambda point: 0.25, 20, noise=0), "Nothing to explain"),
        ([TrialRecord(n, "complete", {}, (float(n),)) for n in range(20)], "Nothing to explain"),
    ],
)
def test_want_of_trials_is_said_in_words(records: list[TrialRecord], said: str) -> None:
    found = explain(records, Space(), "higher")
    assert found.importances == () and found.drifts == ()
    assert any(said in note for note in found.notes), found.notes


def test_one_level_is_no_drift() -> None:
    records = [
        TrialRecord(r.number, r.state, {**r.point, DIM: 16}, r.values) for r in trials(ridge, 20)
    ]
    found = explain(records, Space(), "higher")
    assert [drift.along for drift in found.drifts] == [SNR]
    assert any(f"one level of {DIM}" in note for note in found.notes)
    assert any(f"{DIM} had one value" in note for note in found.notes)


@pytest.mark.parametrize("n", range(8, 16))
@pytest.mark.parametrize("noise", [0.0, 0.1, 1e-9])
def test_few_trials_never_raise(n: int, noise: float) -> None:
    for seed in range(3):
        found = explain(trials(ridge, n, seed, noise=noise), Space(), "higher")
        assert found.trials == n
        for drift in found.drifts:
            assert 0 < drift.p_value <= 1
            assert (
                not drift.slope.low > drift.slope.value and not drift.slope.value > drift.slope.high
            )


def test_an_explanation_is_a_function_of_the_trials() -> None:
    records = [*trials(ridge, 30), *trials(ridge, 4, 1, state="pruned")]
    found = explain(records, Space(), "higher", seed=3)
    assert explain(records, Space(), "higher", seed=3) == found
    assert found.trials == 30
    assert any("4 trials were pruned" in note for note in found.notes)
