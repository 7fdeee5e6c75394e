from __future__ import annotations

import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_ind

from colaflex.interfaces.metric import Items, Measurement
from colaflex.statistics.intervals import proportion, ratio
from colaflex.statistics.significance import (
    difference_interval,
    paired_test,
    pooled,
    row_interval,
    row_value,
    seeds_interval,
    unpaired_test,
    welch_test,
)


def plain(*seeds: list[float]) -> list[Items]:
    return [Items(tuple(map(float, values))) for values in seeds]


def normal(rng: np.random.Generator, seeds: int, n: int, centre: float = 0.0) -> list[Items]:
    return plain(*rng.normal(centre, 1, (seeds, n)))


outcomes = st.lists(st.integers(-8, 8).map(float), min_size=2, max_size=40)


# What a row is.


def test_a_row_is_the_mean_of_its_seeds_and_pools_to_it():
    rng = np.random.default_rng(0)
    row = [
        Items(tuple(rng.normal(size=30)), tuple(rng.integers(1, 9, 30).astype(float)))
        for _ in range(3)
    ]
    top, under = pooled(row)
    each = [sum(seed.values) / sum(seed.weights or ()) for seed in row]
    assert row_value(row) == pytest.approx(np.mean(each))
    assert top.sum() / under.sum() == pytest.approx(np.mean(each))
    assert under.mean() == pytest.approx(1)


def test_pooling_keeps_the_influence_of_an_item():
    # Doubling a small part of an item moves the pooled ratio as it moves the mean of the seeds.
    rng = np.random.default_rng(1)
    values, weights = rng.normal(3, 1, (2, 20)), rng.integers(1, 9, (2, 20)).astype(float)
    row = [Items(tuple(v), tuple(w)) for v, w in zip(values, weights, strict=True)]
    top, under = pooled(row)
    share = np.ones(20)
    share[4] += 1e-6
    moved = np.mean((values @ share) / (weights @ share)) - row_value(row)
    assert (top @ share) / (under @ share) - row_value(row) == pytest.approx(moved, rel=1e-4)


def test_seeds_with_items_of_their_own_count_the_same():
    row = plain([1, 2, 3, 4], [10, 20])
    top, under = pooled(row)
    assert len(top) == 6
    assert top.sum() / under.sum() == pytest.approx((2.5 + 15) / 2) == row_value(row)


def test_nothing_is_known_of_nothing():
    assert math.isnan(row_value([])) and math.isnan(row_interval([Items(())]).value)
    assert paired_test([], []) == 1 == unpaired_test([], [])
    broken = plain([1, math.nan, 2])
    assert paired_test(broken, plain([1, 2, 3])) == 1 == unpaired_test(broken, plain([1, 2, 3]))


# Tests.


def test_few_items_are_enumerated():
    # Of 2^5 exchanges only two are as far apart as five gains out of five.
    assert paired_test(plain([1, 2, 3, 4, 5]), plain([2, 3, 4, 5, 6.5])) == 2 / 32
    # 3 against 3 items: two of the 20 ways to deal them.
    assert unpaired_test(plain([1, 2, 3]), plain([7, 8, 9.5])) == pytest.approx(2 / 20)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=7))
def test_the_enumeration_is_fishers(pairs: list[tuple[int, int]]):
    gaps = [a - b for a, b in pairs]
    extreme = [
        abs(sum(sign * gap for sign, gap in zip(signs, gaps, strict=True))) >= abs(sum(gaps))
        for signs in product((1, -1), repeat=len(gaps))
    ]
    p = paired_test(plain([a for a, _ in pairs]), plain([b for _, b in pairs]))
    assert p == pytest.approx(float(Fraction(sum(extreme), len(extreme))))


def test_ratios_exchange_numerators_and_denominators_at_once():
    rng = np.random.default_rng(2)
    weights = rng.integers(1, 6, (2, 9)).astype(float)
    weights[1, 0] += weights[0].sum() - weights[1].sum()  # so that scales play no part
    values = rng.normal(size=(2, 9)) * weights
    apart = []
    for exchanged in product((False, True), repeat=9):
        where = np.array(exchanged)
        top, under = (np.where(where, part[::-1], part).sum(1) for part in (values, weights))
        apart.append(abs(top[0] / under[0] - top[1] / under[1]))
    expected = np.mean([gap >= apart[0] - 1e-12 for gap in apart])
    rows = [[Items(tuple(v), tuple(w))] for v, w in zip(values, weights, strict=True)]
    assert paired_test(*rows) == pytest.approx(expected)


@given(outcomes, st.data())
def test_tests_are_symmetric_and_know_units(values: list[float], data: st.DataObject):
    n = len(values)
    others = data.draw(st.lists(st.integers(-8, 8).map(float), min_size=n, max_size=n))
    one, other = plain(values), plain(others)
    moved = [plain([4 * v - 16 for v in row]) for row in (values, others)]
    for test in (paired_test, unpaired_test):
        p = test(one, other, permutations=199)
        assert 0 < p <= 1
        assert test(other, one, permutations=199) == pytest.approx(p, abs=1e-12)
        assert test(*moved, permutations=199) == pytest.approx(p, abs=1e-12)
    assert paired_test(one, one) == 1


def test_more_permutations_come_nearer_to_the_normal_limit():
    rng = np.random.default_rng(3)
    one, other = normal(rng, 1, 400), normal(rng, 1, 400, 0.12)
    gap = np.subtract(one[0].values, other[0].values)
    z = abs(gap.mean()) / math.sqrt(np.mean(gap**2) / 400)
    assert paired_test(one, other) == pytest.approx(math.erfc(z / math.sqrt(2)), abs=0.01)


def test_pairs_see_what_items_of_their_own_hide():
    rng = np.random.default_rng(4)
    hard = rng.normal(0, 3, 200)
    one = plain(*(hard + rng.normal(0, 0.5, (3, 200))))
    other = plain(*(hard + 0.2 + rng.normal(0, 0.5, (3, 200))))
    assert paired_test(one, other) <= 0.001
    assert unpaired_test(one, other) > 0.2


def test_rows_without_common_items_can_differ():
    rng = np.random.default_rng(5)
    assert unpaired_test(normal(rng, 2, 90), normal(rng, 3, 150, 0.5)) < 0.01
    with pytest.raises(ValueError, match="90 items and 150 are no pairs"):
        paired_test(normal(rng, 1, 90), normal(rng, 1, 150))


def test_a_certain_difference_without_any_spread():
    assert unpaired_test(plain([0] * 40), plain([1] * 40)) == pytest.approx(1e-4)
    assert unpaired_test(plain([1] * 40), plain([1] * 30)) == 1


def test_welch_known_value():
    one, other = [1.0, 3.0, 5.0], [5.0, 6.0, 7.5, 8.0]
    assert welch_test(one, other) == pytest.approx(ttest_ind(one, other, equal_var=False).pvalue)
    assert welch_test([1, 2], [3]) == 1 == welch_test([1, 1], [1, 1])
    assert welch_test([1, 1], [2, 2]) == 0


# Intervals.


def test_one_seed_has_the_intervals_of_its_metric():
    rng = np.random.default_rng(6)
    values, weights = rng.normal(5, 1, 50), rng.integers(1, 9, 50).astype(float)
    known = ratio(values * weights, weights, "k")
    found = row_interval([Items(tuple(values * weights), tuple(weights))], "k")
    width, close = known.high - known.low, pytest.approx
    assert found.value == close(known.value)
    # Another bootstrap than theirs: bounds agree to a tenth of the interval.
    assert (found.low, found.high) == close((known.low, known.high), abs=width / 10)
    wins = np.floor(weights * 0.7)
    found, known = row_interval([Items(tuple(wins), tuple(weights))]), proportion(wins, weights)
    assert (found.value, found.low, found.high) == close((known.value, known.low, known.high))


def test_a_share_that_never_happens_has_an_upper_end():
    found = row_interval(plain([0] * 100, [0] * 100, [0] * 100))
    assert (found.value, found.low) == (0, 0) and 0.03 < found.high < 0.04
    assert found.n == 100


def test_the_interval_of_a_difference_is_paired():
    rng = np.random.default_rng(8)
    hard = rng.normal(0, 3, 100)
    gap = difference_interval(plain(hard + rng.normal(0.3, 0.5, 100)), plain(hard), "k")
    assert gap.low < 0.3 < gap.high and gap.high - gap.low < 0.3
    with pytest.raises(ValueError, match="no pairs"):
        difference_interval(plain([1, 2]), plain([1, 2, 3]))


def test_seeds_alone_have_students_interval():
    found = seeds_interval([1.0, 2.0, 3.0])
    assert found.value == 2 and found.high - 2 == pytest.approx(4.3027 / math.sqrt(3), abs=1e-4)
    assert math.isnan(seeds_interval([1.0]).low) and math.isnan(seeds_interval([]).value)
    assert isinstance(found, Measurement) and found.n == 3
