from __future__ import annotations

import math

import numpy as np
import pytest

from colaflex.evaluation.brier import brier_lm, brier_scores

END = 0


def scores(first: list[int], second: list[int], real: list[int], offsets: int = 1) -> list[float]:
    return brier_scores([first], [second], [real], END, offsets)[0].tolist()


def test_scores_of_one_prompt():
    assert scores([1, 2, 3, 4], [1, 2, 9, 4], [1, 2, 3, 4]) == [1, 1, 1, 1]
    assert scores([1, 2, 3, 4], [1, 2, 3, 4], [1, 9, 3, 4]) == [1, -1, -1, -1]
    # The model is sure of 5, and wrong.
    assert scores([5, 5, 5, 5], [5, 5, 5, 5], [1, 1, 1, 1]) == [-1] * 4


def test_an_ended_continuation_goes_on_with_end_of_text():
    assert scores([1, END], [1, END], [1]) == [1, 1, 1, 1]
    assert scores([END], [1], [END]) == [1, 1, 1, 1]


def test_offsets_average():
    assert scores([1, 2, 3, 4, 5], [1, 2, 3, 4, 6], [1, 2, 3, 4, 5], 2) == [1, 1, 1, 1]
    assert scores([1, 7, 3, 4, 5], [2, 7, 9, 4, 5], [1, 7, 8, 4, 5], 2) == [1, 0.5, 0, 0]


def test_unbiased_and_brier_lm_matches_the_closed_form():
    rng = np.random.default_rng(0)
    p, q = np.array([0.6, 0.3, 0.1]), np.array([0.7, 0.2, 0.1])
    prompts = 20_000
    x1, x2 = (rng.choice(3, (prompts, 4), p=p).tolist() for _ in range(2))
    y = rng.choice(3, (prompts, 4), p=q).tolist()
    found = brier_lm(x1, x2, y, end_of_text=9, resamples=200)
    truth = [2 * (p @ q) ** n - (p @ p) ** n for n in range(1, 5)]
    for n, expected in enumerate(truth, 1):
        measured = found[f"brier_{n}"]
        assert measured.value == pytest.approx(100 * expected, abs=2)
        assert measured.low - 0.5 <= 100 * expected <= measured.high + 0.5
        assert measured.n == prompts
    assert found["brier_lm"].value == pytest.approx(100 * math.prod(truth) ** 0.25, abs=2)


def test_a_score_below_zero_floors_brier_lm():
    wrong = brier_lm([[5] * 4] * 30, [[5] * 4] * 30, [[1] * 4] * 30, END)
    assert wrong["brier_lm"].value == 0 and wrong["brier_lm"].low == 0
    assert wrong["brier_1"].value == -100


def test_perfect_and_empty():
    perfect = brier_lm([[1, 2, 3, 4]] * 5, [[1, 2, 3, 4]] * 5, [[1, 2, 3, 4]] * 5, END)
    assert perfect["brier_lm"].value == 100
    assert brier_lm([], [], [], END)["brier_lm"].n == 0
    with pytest.raises(ValueError, match="same prompts"):
        brier_lm([[1]], [], [], END)
