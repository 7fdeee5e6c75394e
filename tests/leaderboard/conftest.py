"""A tiny board and what comes of it; and a larger one with made-up records."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from colaflex.leaderboard.board import Board
from colaflex.leaderboard.record import Record

sys.path.insert(0, str(Path(__file__).parent))

from made_up_boards import BOARD, write_board
from made_up_records import (
    BUDGETS,
    QUALITY,
    Bench,
    make_hostile,
    make_record,
    write_worlds,
)

WithBoard = Callable[..., Path]


@pytest.fixture
def with_board(tmp_path: Path) -> WithBoard:
    """Writes a board with some text replaced: `with_board("seeds: [0, 1]", "seeds: [0, 0]")`."""

    def write(old: str = "", new: str = "") -> Path:
        assert BOARD.count(old) == 1 or not old, old
        return write_board(tmp_path, BOARD.replace(old, new) if old else BOARD)

    return write


@pytest.fixture(scope="session")
def small_board(tmp_path_factory: pytest.TempPathFactory) -> Board:
    """The small board, in a folder of its own."""
    return Board.load(write_board(tmp_path_factory.mktemp("small-board")))


@pytest.fixture(scope="session")
def run_folder(small_board: Board, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of its first cell."""
    import colaflex
    from colaflex.leaderboard.cell_matching import Matcher
    from colaflex.leaderboard.cells import grid

    folder = tmp_path_factory.mktemp("cell")
    matcher, cell = Matcher(small_board, folder / "matches"), grid(small_board)[0]
    spec = matcher.spec(cell, matcher.match(cell).values)
    colaflex.run(spec, out=folder / cell.name)
    return folder / cell.name


@pytest.fixture(scope="session")
def small_record(small_board: Board, run_folder: Path) -> Record:
    """The record of that run."""
    from colaflex.leaderboard.cells import grid
    from colaflex.leaderboard.record_of_run import build_record

    return build_record(small_board, grid(small_board)[0], run_folder)


@pytest.fixture(scope="session")
def all_records(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Every row at every budget with every seed, as text, so that no test changes another's."""
    board = write_worlds(tmp_path_factory.mktemp("board"))
    return json.dumps(
        [
            make_record(board, row, seed, budget)
            for budget in BUDGETS
            for row in QUALITY
            for seed in range(3)
        ]
    )


@pytest.fixture(scope="session")
def make_bench(tmp_path_factory: pytest.TempPathFactory, all_records: str) -> Callable[[], Bench]:
    """Makes complete benches, their records not yet written."""
    return lambda: Bench(write_worlds(tmp_path_factory.mktemp("bench")), json.loads(all_records))


@pytest.fixture
def bench(make_bench: Callable[[], Bench]) -> Bench:
    """A complete bench, its records not yet written."""
    return make_bench()


@pytest.fixture(scope="session")
def hostile(make_bench: Callable[[], Bench]) -> Bench:
    """A bench in one of whose rows every text that a stranger could choose is harmful."""
    return make_bench().change(make_hostile, row="rectified_flow")
