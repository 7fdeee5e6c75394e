"""Every combination of components works, or is refused: `pytest -m matrix -n 2`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cells import Cell, cells, refusals
from rehearsal import rehearse
from test_refusals import refused

pytestmark = pytest.mark.matrix


@pytest.mark.parametrize("cell", cells(), ids=str)
def test_every_cell_works_or_is_refused(
    cell: Cell, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    if refusals(cell):
        record_property("cell", "refused")
        assert refused(cell) == refusals(cell)
    else:
        record_property("cell", "work")
        rehearse(cell, tmp_path)
