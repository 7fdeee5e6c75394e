from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from colaflex.interfaces.metric import Items
from colaflex.statistics.hierarchical import hierarchical_test
from colaflex.statistics.ranking import LEVEL, compare, holm, over, rank
from colaflex.statistics.significance import paired_test, unpaired_test, welch_test

Board = dict[str, Any]


def plain(*seeds: list[float]) -> list[Items]:
    return [Items(tuple(map(float, values))) for values in seeds]


@st.composite
def boards(draw: st.DrawFn) -> Board:
    """Rows of one seed or three on the same 60 items, between 0 and 3 standard errors apart."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    hard = rng.normal(size=60)
    places = draw(st.lists(st.floats(0, 1.5), min_size=2, max_size=6))
    seeds = draw(st.sampled_from([1, 3]))
    noise = draw(st.lists(st.floats(0.1, 3), min_size=len(places), max_size=len(places)))
    return {
        f"row {i}": plain(*np.round(hard + at + rng.normal(0, spread, (seeds, 60)), 6))
        for i, (at, spread) in enumerate(zip(places, noise, strict=True))
    }


def ranks(board: Board, **options: bool) -> dict[str, int]:
    return {standing.name: standing.rank for standing in rank(board, **options)}


def test_holm_known_values():
    corrected = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert corrected == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})
    assert holm({}) == {} and holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}


@given(st.dictionaries(st.integers(), st.floats(0, 1), max_size=12))
def test_holm_lies_between_nothing_and_bonferroni(p: dict[int, float]):
    corrected = holm(p)
    for key, value in p.items():
        assert value <= corrected[key] <= min(1.0, len(p) * value) + 1e-12
    for a in p:
        for b in p:
            if p[a] <= p[b]:
                assert corrected[a] <= corrected[b]


def test_what_is_tested_follows_from_what_is_known():
    rng = np.random.default_rng(0)
    one, other = plain(*rng.normal(0, 1, (3, 50))), plain(*rng.normal(0.3, 1, (3, 50)))
    fewer = plain(*rng.normal(0.3, 1, (3, 40)))

    def p_value(left: list[Items], right: list[Items]) -> float:
        return compare({"left": left, "right": right})["left", "right"]

    assert p_value(one, other) == hierarchical_test(one, other)
    assert p_value(one, fewer) == hierarchical_test(one, fewer)
    # One training says nothing of its method: this is about these models.
    assert p_value(one[:1], other) == paired_test(one[:1], other)
    assert p_value(one, fewer[:1]) == unpaired_test(one, fewer[:1])


def test_one_row_of_a_single_seed_makes_the_board_one_of_trained_models():
    rng = np.random.default_rng(8)
    hard = rng.normal(size=60)
    board = {name: plain(*(hard + at)) for name, at in (("a", [[1], [9]]), ("b", [[0], [0.1]]))}
    assert over(board.values()) == "seeds" and ranks(board) == {"a": 1, "b": 1}
    board["c"] = plain(hard)
    assert over(board.values()) == "items" and ranks(board)["a"] == 1 < ranks(board)["b"]
    assert over([]) == "seeds" and over([plain([1.0])]) == "items"


def test_a_lucky_seed_makes_no_rank():
    # Seeds at .50, .58 and .74 against .27, .09 and .18, 400 items each: items alone tell them
    # apart, but with Holm's correction for the eight rows of a board three trainings don't.
    def share(*wins: int) -> list[Items]:
        return plain(*([1] * count + [0] * (400 - count) for count in wins))

    board = {
        "flow": share(199, 232, 296),
        "rectified": share(106, 36, 70),
        **{f"row {i}": share(i, i + 1, i + 2) for i in range(6)},
    }
    assert paired_test(board["flow"], board["rectified"]) < 0.001
    assert welch_test([0.4975, 0.58, 0.74], [0.265, 0.09, 0.175]) == pytest.approx(0.0103, abs=1e-4)
    assert compare(board)["flow", "rectified"] > 0.2
    assert ranks(board)["rectified"] == ranks(board)["flow"] == 1


@settings(max_examples=25)
@given(boards(), st.randoms())
def test_ranks_do_not_depend_on_order_or_names(board: Board, random: object):
    names = list(board)
    random.shuffle(names)  # type: ignore[attr-defined]
    expected = ranks(board)
    assert ranks({name: board[name] for name in names}) == expected
    renamed = {name[::-1]: board[name] for name in names}
    assert ranks(renamed) == {name[::-1]: place for name, place in expected.items()}


@settings(max_examples=25)
@given(boards(), st.sampled_from([0.25, 2.0, 8.0]), st.integers(-4, 4))
def test_ranks_do_not_depend_on_units(board: Board, scale: float, shift: int):
    def moved(sign: float) -> Board:
        return {
            name: plain(*([sign * scale * v + shift for v in seed.values] for seed in row))
            for name, row in board.items()
        }

    assert ranks(moved(1.0)) == ranks(board) == ranks(moved(-1.0), higher=False)


@settings(max_examples=25)
@given(boards())
def test_the_promises_of_ranks(board: Board):
    far = plain(*([1e3 + i] * 60 for i, _ in enumerate(board["row 0"])))
    copied = {**board, "copy": board["row 0"], "far": far}
    standings = {standing.name: standing for standing in rank(copied)}
    assert standings["copy"].rank == standings["row 0"].rank
    assert "copy" in standings["row 0"].tie
    assert standings["far"].rank == 1 and standings["far"].tie == ()
    assert all(s.rank >= 2 and s.p <= LEVEL for name, s in standings.items() if name != "far")
    pairs = [(a, b) for a in copied for b in copied if a < b]
    corrected = compare(copied)
    assert set(corrected) == set(pairs)
    for (a, b), p in corrected.items():
        better, worse = sorted((standings[a], standings[b]), key=lambda s: -s.value)
        if p <= LEVEL:
            assert better.rank < worse.rank
        assert (a in standings[b].tie) == (standings[a].rank == standings[b].rank)


def test_indifference_that_is_not_transitive():
    # `unsure` is level with both, `sure` beats `low`: so two places are open to it, one to `low`.
    rng = np.random.default_rng(1)
    hard = rng.normal(size=100)
    board = {
        "sure": plain(hard + 0.2 + rng.normal(0, 0.1, 100)),
        "unsure": plain(rng.normal(0.1, 8, 100)),
        "low": plain(hard + rng.normal(0, 0.1, 100)),
    }
    found = {standing.name: (standing.rank, standing.tie) for standing in rank(board)}
    assert found == {"sure": (1, ("unsure",)), "unsure": (1, ("sure",)), "low": (2, ())}


def test_who_loses_to_the_loser_loses_to_the_winner():
    # c's trainings vary so much that a alone can't be told from it.
    board = {
        "a": plain([9.9], [10.0], [10.1]),
        "b": plain([4.99], [5.0], [5.01]),
        "c": plain([1.0], [0.0], [-1.0]),
    }
    p = {("a", "b"): 0.001, ("b", "c"): 0.001, ("a", "c"): 0.2}
    assert {s.name: s.rank for s in rank(board, p=p)} == {"a": 1, "b": 2, "c": 3}


def test_what_is_not_finite_comes_last():
    rng = np.random.default_rng(3)
    board = {
        "lost": plain([math.nan, 1, 2]),
        "fine": plain(rng.normal(size=30)),
        "endless": plain([math.inf, 0, 0]),
        "bad": plain(rng.normal(3, 1, 30)),
    }
    standings = rank(board, higher=False)
    assert [(s.name, s.rank) for s in standings] == [
        ("fine", 1),
        ("bad", 2),
        ("endless", 3),
        ("lost", 3),
    ]
    assert rank({}) == []


def test_many_rows_can_still_be_told_apart():
    # 300 pairs: a p of one in 10,000 would stay at 0.03 after correction, one in 30,001 at 0.01.
    rng = np.random.default_rng(4)
    hard = rng.normal(size=40)
    board = {f"row {i:02}": plain(hard + i + rng.normal(0, 0.1, 40)) for i in range(25)}
    found = rank(board)
    assert [standing.rank for standing in found] == list(range(1, 26))
    assert max(standing.p for standing in found[1:]) < LEVEL / 4
