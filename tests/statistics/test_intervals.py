from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colaflex.interfaces.metric import Measurement
from colaflex.statistics.intervals import (
    Floats,
    bootstrap,
    jackknife,
    mean,
    proportion,
    ratio,
    studentised,
    wilson,
)

REPEATS = 300
Pair = tuple[np.ndarray, np.ndarray]


def coverage(
    measure: Callable[..., Measurement], truth: float, draw: Callable[[np.random.Generator], Any]
) -> float:
    rng = np.random.default_rng(0)
    hits = 0
    for repeat in range(REPEATS):
        measured = measure(draw(rng), repeat)
        hits += measured.low <= truth <= measured.high
    return hits / REPEATS


def test_wilson_known_value():
    measured = wilson(8, 10)
    assert measured.value == 0.8
    assert (measured.low, measured.high) == pytest.approx((0.49016, 0.94332), abs=1e-5)


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_wilson_holds_its_share_and_stays_in_the_unit_interval(trials: int, share: float):
    successes = round(share * trials)
    measured = wilson(successes, trials)
    assert 0 <= measured.low <= measured.value <= measured.high <= 1
    assert measured.low < measured.high
    assert measured.n == trials


def test_no_items_and_one_item():
    for empty in (mean([], "k"), ratio([], [], "k"), jackknife(math.nan, [])):
        assert empty.n == 0 and math.isnan(empty.value) and math.isnan(empty.low)
    nothing = proportion([], [])
    assert nothing.n == 0 and math.isnan(nothing.value) and (nothing.low, nothing.high) == (0, 1)
    one = mean([3.0], "k")
    assert one.value == 3.0 and one.n == 1 and math.isnan(one.low) and math.isnan(one.high)
    assert proportion([3], [4]) == Measurement(0.75, wilson(0.75, 1).low, wilson(0.75, 1).high, 1)


def test_a_value_that_is_not_finite_has_no_interval():
    measured = mean([1.0, math.inf], "k")
    assert measured.value == math.inf and math.isnan(measured.low) and measured.n == 2


def test_items_without_trials_count_nothing():
    assert proportion([1, 0, 2], [2, 0, 4]) == proportion([1, 2], [2, 4])
    assert ratio([1, 0, 2], [2, 0, 5], "k") == ratio([1, 2], [2, 5], "k")


def test_one_trial_an_item_is_wilson():
    outcomes = [True] * 30 + [False] * 20
    measured, expected = proportion(outcomes), wilson(30, 50)
    assert measured.value == expected.value
    assert (measured.low, measured.high) == pytest.approx((expected.low, expected.high), abs=2e-3)


def test_a_perfect_share_keeps_a_width():
    assert proportion([100] * 20, [100] * 20) == wilson(20, 20)


def test_dependent_trials_widen_the_interval():
    tied = proportion([10, 0] * 20, [10] * 40)
    free = proportion([5] * 40, [10] * 40)
    assert tied.value == free.value
    assert (tied.high - tied.low) > 2 * (free.high - free.low)


def test_bootstrap_is_deterministic_and_keyed():
    values = np.random.default_rng(1).normal(size=50)
    assert mean(values, "a") == mean(values, "a")
    assert mean(values, "a") != mean(values, "b")


def test_bootstrap_blocks_do_not_change_what_is_drawn_for_a_constant():
    assert mean([2.0] * 40, "k") == Measurement(2.0, 2.0, 2.0, 40)


@given(st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=30), st.floats(0.5, 4))
def test_the_mean_interval_scales_and_shifts(values: list[float], scale: float):
    base = mean(values, "k", resamples=200)
    moved = mean([scale * value + 7 for value in values], "k", resamples=200)
    tolerance = 1e-6 * (1 + max(map(abs, values))) * scale + 0.02 * scale * (base.high - base.low)
    assert moved.value == pytest.approx(scale * base.value + 7, abs=tolerance)
    assert moved.low == pytest.approx(scale * base.low + 7, abs=tolerance)
    assert moved.high == pytest.approx(scale * base.high + 7, abs=tolerance)


def test_normal_mean_matches_its_closed_form():
    values = np.random.default_rng(2).normal(size=400)
    measured = mean(values, "k", resamples=4000)
    half = 1.96 * values.std() / math.sqrt(len(values))
    assert measured.value == pytest.approx(values.mean())
    assert measured.low == pytest.approx(values.mean() - half, abs=0.015)
    assert measured.high == pytest.approx(values.mean() + half, abs=0.015)


def test_percentile_and_bca_agree_on_a_symmetric_statistic():
    values = np.linspace(-1, 1, 201)
    columns = np.stack([values, np.ones(201)], 1)

    def statistic(weights: Floats) -> Floats:
        sums = weights @ columns
        return sums[:, 0] / sums[:, 1]

    plain = bootstrap(statistic, 201, "k", method="percentile", resamples=2000)
    corrected = bootstrap(statistic, 201, "k", resamples=2000)
    assert plain.low == pytest.approx(corrected.low, abs=0.01)
    assert plain.high == pytest.approx(corrected.high, abs=0.01)


def test_skewed_mean_covers():
    found = coverage(
        lambda x, key: mean(x, key, resamples=400), 1.0, lambda rng: rng.exponential(size=40)
    )
    assert 0.89 <= found <= 0.985


def test_ratio_covers():
    def draw(rng: np.random.Generator) -> Pair:
        tokens = rng.integers(5, 60, 60)
        return tokens * (2.0 + rng.normal(0, 0.3, 60)), tokens

    found = coverage(lambda x, key: ratio(*x, key, resamples=400), 2.0, draw)
    assert 0.90 <= found <= 0.99


def test_clustered_proportion_covers():
    def draw(rng: np.random.Generator) -> Pair:
        trials = rng.integers(1, 20, 50)
        return rng.binomial(trials, rng.beta(8, 2, 50)), trials

    assert 0.91 <= coverage(lambda x, key: proportion(*x), 0.8, draw) <= 0.99


def test_jackknife_of_a_mean_is_students_interval():
    values = np.array([1.0, 2.0, 4.0, 7.0])
    left = (values.sum() - values) / 3
    measured = jackknife(values.mean(), left)
    half = 3.182446 * values.std(ddof=1) / 2
    assert measured.high - measured.value == pytest.approx(half, rel=1e-5)
    assert jackknife(3.5, left, lowest=0.0, highest=4.0).low == 0.0


def test_studentised_of_one_ratio_covers_where_bca_is_too_short():
    def draw(rng: np.random.Generator) -> Pair:
        size = rng.lognormal(0, 0.7, 64)
        return size * (1 + rng.normal(0, 0.2, 64)), size

    def measure(pair: Pair, repeat: int) -> Measurement:
        return studentised(np.stack(pair, 1), (1,), repeat, resamples=500)

    assert 0.91 <= coverage(measure, 1.0, draw) <= 0.97


@given(st.lists(st.integers(-50, 50), min_size=2, max_size=20), st.floats(0.5, 4))
def test_studentised_scales_and_turns_with_its_values(values: list[int], scale: float):
    columns = np.stack([np.asarray(values), np.ones(len(values))], 1)
    base = studentised(columns, (1,), "k", resamples=200)
    turned = studentised(columns * [-scale, 1], (1,), "k", resamples=200)
    tolerance = 1e-6 * scale * (1 + max(map(abs, values)))
    assert base.low <= base.value <= base.high
    assert turned.value == pytest.approx(-scale * base.value, abs=tolerance)
    assert turned.low == pytest.approx(-scale * base.high, rel=1e-6, abs=tolerance)
    assert turned.high == pytest.approx(-scale * base.low, rel=1e-6, abs=tolerance)


def test_studentised_matches_the_closed_form_of_a_paired_difference():
    rng = np.random.default_rng(3)
    hard = rng.normal(0, 5, 400)
    one, other, ones = hard + rng.normal(1, 1, 400), hard, np.ones(400)
    found = studentised(np.stack([one, ones, other, ones], 1), (1, -1), "k", resamples=4000)
    gap = one - other
    assert found.value == pytest.approx(gap.mean())
    half = 1.966 * gap.std(ddof=1) / 20
    assert found.low == pytest.approx(gap.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(gap.mean() + half, abs=0.1 * half)


def test_studentised_without_items_or_variation():
    nothing = studentised(np.zeros((0, 2)), (1,))
    assert nothing.n == 0 and math.isnan(nothing.value)
    one = studentised([[3.0, 1.0]], (1,))
    assert one.value == 3 and math.isnan(one.low)
    assert studentised([[2.0, 1.0]] * 9, (1,)) == Measurement(2, 2, 2, 9)
