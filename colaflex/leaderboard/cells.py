"""The grid of a board: a run for every row, budget and seed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from colaflex.errors import UserError
from colaflex.hints import hint
from colaflex.leaderboard.board import Board
from colaflex.spec import Spec

__all__ = ["Cell", "cell_spec", "grid"]


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """One run of a board."""

    row: str
    budget: str
    seed: int

    @property
    def name(self) -> str:
        """`ROW-BUDGET-sSEED`, the name of its run folder."""
        return f"{self.row}-{self.budget}-s{self.seed}"


def grid(
    board: Board, rows: Sequence[str] = (), budgets: Sequence[str] = (), seeds: Sequence[int] = ()
) -> list[Cell]:
    """The cells of a board, or those of some rows, budgets and seeds (none named: all).

    Seeds run fastest, so that workers side by side train different representations.

    Raises:
        UserError: the board has no such row, budget or seed.
    """
    _known("row", rows, board.rows)
    _known("budget", budgets, board.budgets)
    _known("seed", [str(seed) for seed in seeds], [str(seed) for seed in board.seeds])
    return [
        Cell(row, budget, seed)
        for budget in board.budgets
        if not budgets or budget in budgets
        for row in board.rows
        if not rows or row in rows
        for seed in board.seeds
        if not seeds or seed in seeds
    ]


def _known(what: str, asked: Sequence[str], known: Collection[str]) -> None:
    for name in asked:
        if name not in known:
            raise UserError(f"the board has no {what} {name!r}{hint(name, known, f'{what}s')}")


def cell_spec(board: Board, cell: Cell, values: Mapping[str, Any]) -> Spec:
    """The spec of a cell, with what was solved for.

    Args:
        board: the board.
        cell: row, budget and seed.
        values: by key path: widths and steps.
    """
    named = {"name": f"{board.board}-{cell.name}", "seed": cell.seed}
    return board.specs[cell.row].override({**named, **values})
