"""A cell for every two components that can meet; all cells: `pytest -m matrix`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cells import Cell, cells, features, refusals
from covering import covering
from rehearsal import rehearse

PAIRS = covering([cell for cell in cells() if not refusals(cell)], features)


@pytest.mark.parametrize("cell", PAIRS, ids=str)
def test_a_cell_of_the_covering_subset_works(
    cell: Cell, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    record_property("cell", "work")
    rehearse(cell, tmp_path)
