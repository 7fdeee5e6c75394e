"""The covering subset covers, and is small."""

from __future__ import annotations

from itertools import combinations, product
from typing import Any

from cells import cells, features, refusals
from covering import covering
from hypothesis import given
from hypothesis import strategies as st


def pairs(cell: Any) -> set[Any]:
    return set(combinations(enumerate(cell), 2))


@given(st.sets(st.tuples(*[st.integers(0, 3)] * 3), max_size=40))
def test_every_pair_occurs_and_no_cell_is_needless(grid: set[tuple[int, ...]]) -> None:
    chosen = covering(sorted(grid), pairs)
    assert set(chosen) <= grid and len(set(chosen)) == len(chosen)
    found = [pairs(cell) for cell in chosen]
    assert set().union(*found) == set().union(*map(pairs, grid))
    for index, own in enumerate(found):
        assert own - set().union(*found[:index])


def test_a_full_grid_needs_hardly_more_than_its_largest_face() -> None:
    grid = list(product(range(4), range(13), range(5)))
    # 13 · 5 pairs of the two larger factors: no fewer cells can do.
    assert 65 <= len(covering(grid, pairs)) <= 75


def test_what_can_not_occur_is_not_asked_for() -> None:
    grid = [cell for cell in product("ab", "xy", "12") if cell[:2] != ("a", "y")]
    chosen = covering(grid, pairs)
    assert all(cell[:2] != ("a", "y") for cell in chosen)
    assert {cell[1:] for cell in chosen} == set(product("xy", "12"))


def test_every_two_components_that_can_meet_and_every_variant_are_covered() -> None:
    able = [cell for cell in cells() if not refusals(cell)]
    chosen = covering(able, features)
    for one, two in combinations(range(3), 2):
        met = {(cell[one].name, cell[two].name) for cell in chosen}
        assert met == {(cell[one].name, cell[two].name) for cell in able}
    assert {part for cell in chosen for part in cell} == {part for cell in able for part in cell}
    assert len(chosen) < len(able) / 3
