"""The boards of the repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from colaflex.host.registry import registry
from colaflex.leaderboard.board import Board
from colaflex.leaderboard.records import load_records

ROOT = Path(__file__).parent.parent.parent
BOARDS = sorted((ROOT / "benchmarks/boards").glob("*.yaml"))
BASELINES = {
    "worlds": {"autoregressive", "masked_diffusion", "plaid"},
    "bible": {"autoregressive", "masked_diffusion"},
}


def test_there_are_boards() -> None:
    assert {path.stem for path in BOARDS} >= {"tiny", "worlds", "bible"}


@pytest.mark.parametrize("path", BOARDS, ids=[path.stem for path in BOARDS])
def test_every_board_is_valid_and_so_are_its_records(path: Path) -> None:
    missing = BASELINES.get(path.stem, set()) - set(registry().names("baseline"))
    if missing:
        pytest.skip(f"needs the baselines {', '.join(sorted(missing))}")
    board = Board.load(path)
    assert board.board == path.stem
    assert board.results == ROOT / "benchmarks/results" / path.stem
    for record in load_records(board):
        assert record.board == path.stem
