from __future__ import annotations

import math
from dataclasses import replace

import made_up_studies as made_up
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from colaflex.statistics.front import front
from colaflex.statistics.significance import welch_interval, welch_test
from colaflex.studies.explanation.explanation import Drift, Interval
from colaflex.studies.page.comparisons import fresh_results, gaps
from colaflex.studies.page.contour_figures import bands_of, smooth
from colaflex.studies.page.goals import GoalText, p_text
from colaflex.studies.page.knob_axes import KnobAxis, knobs_of, point_text, short_names
from colaflex.studies.page.sentences import (
    drift_answer,
    drift_verdict,
    gap_sentence,
    importance_sentence,
    interaction_sentence,
    optimism_sentence,
)
from colaflex.studies.page.spending import course
from colaflex.studies.summary import Goal

GOAL = Goal(made_up.METRIC)


def test_fresh_seeds_are_compared_as_scipy_does() -> None:
    rows = fresh_results(made_up.ridge())
    first, other = rows[0].values, rows[2].values
    ours, theirs = gaps(rows)[1], stats.ttest_ind(first, other, equal_var=False)
    bounds = theirs.confidence_interval()
    assert ours.p_value == pytest.approx(theirs.pvalue)
    assert (ours.difference.low, ours.difference.high) == pytest.approx(tuple(bounds))
    assert rows[0].seen == made_up.ridge().arms["search"].best.values[0]  # type: ignore[union-attr]
    assert rows[0].split == "test"


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=6),
    st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=6),
)
def test_the_interval_of_a_difference_and_its_p_agree(one: list[float], other: list[float]) -> None:
    found, p = welch_interval(one, other), welch_test(one, other)
    if abs(p - 0.05) > 1e-6:
        assert (found.low > 0 or found.high < 0) == (p < 0.05)


def test_few_values_have_no_interval() -> None:
    assert welch_interval([], [1.0]).n == 1 and math.isnan(welch_interval([], [1.0]).value)
    one = welch_interval([3.0], [1.0, 2.0])
    assert one.value == 1.5 and math.isnan(one.low)
    same = welch_interval([2.0, 2.0], [1.0, 1.0])
    assert (same.value, same.low, same.high) == (1.0, 1.0, 1.0)


def test_a_stage_1_is_paid_for_once_and_pruned_trials_are_paid_for() -> None:
    point = {made_up.D: 16, made_up.SNR: 2}
    stage = {"stage1": {"s": 5.0}, "flops": 10.0}
    records = [
        made_up.record(0, point, 0.2, **stage),
        made_up.record(1, point, 0.9, "pruned", intermediate={1: 0.1, 2: 0.3}, **stage),
        made_up.record(2, point, 0.5, **stage),
        made_up.record(3, point, 0.9, "running", **stage),
        made_up.record(4, point, 0.4, **stage),
    ]
    steps = course(records, GOAL)
    assert [step.spent for step in steps] == [15, 25, 35, 45]
    assert [step.best for step in steps] == [0.2, 0.2, 0.5, 0.5]
    assert steps[1].value == 0.3
    lower = course(records, Goal(made_up.METRIC, "lower"))
    assert [step.best for step in lower] == [0.2] * 4


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5)), max_size=12))
def test_the_front_is_what_none_beats(rows: list[tuple[int, int, int]]) -> None:
    signs = (1.0, -1.0, 1.0)
    kept = set(front(rows, signs))
    assert bool(kept) == bool(rows)

    def beats(one: int, other: int) -> bool:
        pairs = [(s * a, s * b) for s, a, b in zip(signs, rows[one], rows[other], strict=True)]
        return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)

    for index in range(len(rows)):
        assert (index in kept) == (not any(beats(other, index) for other in range(len(rows))))
    assert front([(math.nan, 1.0)], (1.0, 1.0)) == []


def test_names_are_as_short_as_they_can_be() -> None:
    paths = ["prior", "prior.schedule.loc", "sampling.schedule.loc", "representation.latent_dim"]
    assert short_names(paths) == {
        "prior": "prior",
        "prior.schedule.loc": "prior.schedule.loc",
        "sampling.schedule.loc": "sampling.schedule.loc",
        "representation.latent_dim": "latent_dim",
    }
    assert short_names(["a.type", "b.type"]) == {"a.type": "a.type", "b.type": "b.type"}


def test_knobs_are_axes() -> None:
    prior, dim, _, loc, _ = knobs_of(made_up.two_goals())
    assert (prior.kind, dim.kind, loc.kind) == ("categories", "levels", "range")
    assert [dim.place({made_up.D: d}) for d in (8, 64)] == [0, 3]
    assert math.isnan(dim.place({})) and math.isnan(dim.place({made_up.D: 9}))
    log = KnobAxis("x", "x", "range", low=1.0, high=100.0, log=True)
    for knob in (log, loc, dim):
        for place in (1.0, 2.5):
            assert knob.at(knob.unit(place)) == pytest.approx(place)
    assert log.unit(10.0) == pytest.approx(0.5)
    assert point_text({made_up.LOC: 0.5, "other": True}, [loc]) == "loc\u00a00.5, other\u00a0true"


def test_smoothing_finds_a_ridge_in_noise_and_is_silent_far_off() -> None:
    rng = np.random.default_rng(0)
    places = rng.uniform(0, 0.6, (80, 2))
    truth = 1 - 4 * (places[:, 0] - places[:, 1]) ** 2
    steps = np.linspace(0, 1, 21)
    found = smooth(places, truth + rng.normal(0, 0.1, 80), steps)
    assert found is not None and found.shape == (21, 21)
    near = found[6, 6], found[2, 10]  # on the ridge; off it by 0.4
    assert near[0] == pytest.approx(1.0, abs=0.12) and near[1] == pytest.approx(0.36, abs=0.25)
    assert math.isnan(found[-1, -1])
    line = np.stack([np.linspace(0, 1, 12)] * 2, axis=1)
    assert smooth(line[:, [0, 0]] * [1, 0], truth[:12], steps) is None


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=30), st.sampled_from([1.0, -1.0]))
def test_darker_is_better(values: list[float], sign: float) -> None:
    bands = bands_of(values, sign)
    if bands is None:
        assert len(set(values)) == 1
        return
    order = sorted(values, key=lambda value: sign * value)
    shades = [bands.shade(value) for value in order]
    assert shades == sorted(shades) and all(0 < shade <= 1 for shade in shades)
    assert shades[-1] == bands.shades[-1]


@pytest.mark.parametrize(
    ("slope", "law", "answer", "verdict"),
    [
        (Interval(0.5, 0.3, 0.7), 0.5, "Found: the best loc rises", "covers the law's ½."),
        (Interval(-0.5, -0.7, -0.3), 0.5, "Found: the best loc falls", "leaves out the law's ½"),
        (Interval(0.2, -0.2, 0.6), 0.5, "Not found", "can't tell it from no drift"),
        (Interval(0.1, -0.1, 0.3), 0.5, "Not found", "leaves out the law's ½"),
        (Interval(0.5, 0.3, 0.7), None, "Found", ""),
    ],
)
def test_what_is_said_of_a_drift_follows_its_interval(
    slope: Interval, law: float | None, answer: str, verdict: str
) -> None:
    drift = Drift("a.loc", "b.d", True, (), slope, 0.01, law)
    names = {"a.loc": "loc", "b.d": "d"}
    assert drift_answer(drift, names).startswith(answer)
    assert verdict in drift_verdict(drift) and bool(verdict) == bool(drift_verdict(drift))


def test_categories_are_judged_by_their_p() -> None:
    nan = float("nan")
    for p, said in ((0.01, "The best loc depends on"), (0.4, "Not found"), (nan, "Whether")):
        drift = Drift("loc", "prior", False, (), Interval(nan, nan, nan), p)
        assert drift_answer(drift, {}).startswith(said)


def test_numbers_in_words() -> None:
    text = GoalText(GOAL, 1)
    assert text.gap(0.0321) == "+3.2 points" and text.gap(-0.0321) == "−3.2 points"
    assert text.gap(0.0) == "0.0 points" and text.value(0.5) == "50.0 %"
    assert p_text(0.0002) == "p\u00a0<\u00a00.001" and p_text(0.25) == "p\u00a0=\u00a00.25"
    row = fresh_results(made_up.ridge())[0]
    assert "points better than fresh seeds" in optimism_sentence(row, text)


def test_what_is_said_of_a_difference() -> None:
    text, rows = GoalText(GOAL, 1), fresh_results(made_up.ridge())

    def said(one: tuple[float, ...], other: tuple[float, ...]) -> str:
        pair = [replace(rows[0], values=one), replace(rows[2], values=other)]
        return gap_sentence(gaps(pair)[0], pair, text)

    assert said((0.8, 0.81, 0.82), (0.6, 0.61, 0.62)).startswith(
        "Against paper: +20.0 points, better"
    )
    assert said((0.6, 0.61, 0.62), (0.8, 0.81, 0.82)).startswith(
        "Against paper: −20.0 points, worse"
    )
    assert said((0.6, 0.8), (0.61, 0.79)).endswith("these seeds can't tell the two apart.")
    assert said((0.6,), (0.5, 0.4)).endswith(
        "without an interval: only 1 fresh seed of one of the two."
    )


def test_what_is_said_of_pairs_that_do_nothing_together() -> None:
    told = made_up.explanation()
    none = replace(told, interactions=told.interactions[1:])
    assert interaction_sentence(none, {}).startswith("No pair is known to act together")
    assert interaction_sentence(replace(told, interactions=()), {}) == ""
    assert importance_sentence(replace(told, importances=()), {}) == ""
