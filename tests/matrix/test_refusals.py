"""What components declare they can't do is refused before training, and nothing else is."""

from __future__ import annotations

import pytest
from cells import Cell, cells, document, refusals

from colaflex.files.problems import SpecError
from colaflex.spec import Spec

NEVER = [cell for cell in cells() if refusals(cell)]


def refused(cell: Cell) -> list[str]:
    """The keys at which the spec is refused; each refusal names the representation."""
    with pytest.raises(SpecError) as caught:
        Spec.parse(document(cell))
    problems = caught.value.problems
    for problem in problems:
        assert cell.representation.name in problem.message
        assert problem.hint
    return sorted(str(problem.path[0]) for problem in problems)


def test_what_can_not_work_is_refused_with_its_reasons() -> None:
    assert {cell.representation.name for cell in NEVER} >= {"token_embedding"}
    for cell in NEVER:
        assert refused(cell) == refusals(cell), cell


def test_nothing_else_is_refused() -> None:
    for cell in cells():
        if not refusals(cell):
            assert Spec.parse(document(cell)).prior is not None
