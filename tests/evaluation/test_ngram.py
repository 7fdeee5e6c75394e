from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colaflex.evaluation.ngram import NGramModel

END, SIZE = 0, 6
Rows = list[list[int]]
token_rows = st.lists(
    st.lists(st.integers(1, SIZE - 2), max_size=8).map(lambda row: [*row, END]),
    min_size=1,
    max_size=6,
)


@given(token_rows, st.integers(1, 3), st.lists(st.integers(0, SIZE - 1), max_size=4))
def test_probabilities_sum_to_one_and_none_is_zero(rows: Rows, order: int, context: list[int]):
    probabilities = NGramModel(rows, order, SIZE, END).probabilities(context)
    assert probabilities.sum() == pytest.approx(1, abs=1e-12)
    assert probabilities.min() > 0


@given(token_rows, st.integers(1, 3), st.lists(st.integers(0, SIZE - 1), max_size=6))
def test_nll_is_the_sum_over_single_predictions(rows: Rows, order: int, document: list[int]):
    model = NGramModel(rows, order, SIZE, END)
    parts = [model.probabilities(document[:i])[token] for i, token in enumerate(document)]
    assert model.nll(document) == pytest.approx(-sum(map(math.log, parts)), abs=1e-9)


def test_absolute_discounting_by_hand():
    # Unigram counts: 1 three times, 2 and END once each: n1 = 2, n2 = 0, so D = 0.95, its bound.
    model = NGramModel([[1, 1, 1, 2, END]], 1, 4, END)
    left = 0.95 * 3 / 5
    expected = [(0.05 / 5) + left / 4, 2.05 / 5 + left / 4, 0.05 / 5 + left / 4, left / 4]
    assert model.probabilities([]) == pytest.approx(expected)


def test_the_mask_is_never_drawn():
    model = NGramModel([[1, 2, END]] * 3, 2, 4, END, never=(3,))
    assert model.probabilities([1])[3] == 0
    assert model.probabilities([1]).sum() == pytest.approx(1)
    assert all(3 not in row for row in model.sample([[]] * 500, 5))


@pytest.mark.parametrize("order", [1, 2, 3])
def test_samples_follow_the_probabilities(order: int):
    rng = np.random.default_rng(0)
    rows = [[*rng.integers(1, 5, 6).tolist(), END] for _ in range(8)]
    model = NGramModel(rows, order, SIZE, END)
    drawn = model.sample([[2, 3]] * 20_000, 1, seed=1)
    counts = np.bincount([row[0] for row in drawn], minlength=SIZE)
    expected = 20_000 * model.probabilities([2, 3])
    assert ((counts - expected) ** 2 / expected).sum() < 25  # chi-squared with 5 degrees of freedom


@pytest.mark.parametrize("order", [1, 2, 3])
def test_samples_have_the_entropy_rate_of_the_model(order: int):
    rng = np.random.default_rng(1)
    rows = [[*np.minimum(rng.geometric(0.4, 12), 5).tolist(), END] for _ in range(40)]
    model = NGramModel(rows, order, 7, END)
    documents = model.sample([[]] * 3000, 400, seed=2)
    nll = np.array([model.nll(d) for d in documents])
    mass = np.exp(-nll)
    short = [i for i, d in enumerate(documents) if len(d) == 1]
    assert len(short) / 3000 == pytest.approx(mass[short[0]], abs=0.02)
    assert Counter(d[-1] for d in documents)[END] == 3000


def test_sampling_is_keyed_by_place_and_seed():
    model = NGramModel([[1, 2, 3, 4, END], [4, 3, 2, 1, END]], 3, SIZE, END)
    many = model.sample([[]] * 6, 20, seed=3)
    assert model.sample([[]] * 2, 20, seed=3) == many[:2]
    assert model.sample([[]] * 6, 20, seed=4) != many
    assert all(len(row) <= 20 and END not in row[:-1] for row in many)
    assert model.sample([], 5) == []


def test_higher_orders_fit_dependent_text_better():
    rng = np.random.default_rng(0)
    rows = [[*((np.arange(30) + rng.integers(0, 20)) % 20 + 1).tolist(), END] for _ in range(30)]
    nll = [sum(NGramModel(rows[:20], k, 22, END).nll(r) for r in rows[20:]) for k in (1, 2, 3)]
    assert nll[1] < nll[0] / 2
    assert nll[2] < nll[0] / 2


def test_impossible_requests():
    with pytest.raises(ValueError, match="no tokens"):
        NGramModel([], 2, 5, END)
    with pytest.raises(ValueError, match="63 bits"):
        NGramModel([[1]], 4, 2**17, END)


@given(token_rows, st.integers(1, 3), st.lists(st.integers(0, SIZE - 1), max_size=4))
def test_a_lower_order_is_as_if_counted_alone(rows: Rows, order: int, context: list[int]):
    within, alone = NGramModel(rows, 3, SIZE, END).lower(order), NGramModel(rows, order, SIZE, END)
    assert (within.probabilities(context) == alone.probabilities(context)).all()
    assert within.sample([context] * 3, 5) == alone.sample([context] * 3, 5)


def test_a_higher_order_is_not_within():
    with pytest.raises(ValueError, match="order 3 is not within order 2"):
        NGramModel([[1, END]], 2, SIZE, END).lower(3)
