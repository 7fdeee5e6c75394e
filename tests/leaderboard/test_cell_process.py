"""A cell in a process of its own: asked to stop at any time, it stops at a checkpoint."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from colaflex.leaderboard.board import Board
from colaflex.leaderboard.cells import Cell, job_spec
from colaflex.runtime.pool import Pool, ProcessEnd


@pytest.mark.parametrize("when", ["at once", "in training"])
def test_a_cell_that_is_asked_to_stop_does_so_at_a_checkpoint(
    small_board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Also before it has begun to train, when nobody knows yet what to do with the request."""
    monkeypatch.setenv("COLAFLEX_CACHE", str(tmp_path / "cache"))
    steps = {"training.stages.representation.steps": 1_000_000}
    spec = job_spec(small_board, Cell("latent_ar", "small", 0), steps)
    file, log = tmp_path / "cell.yaml", tmp_path / "log"
    file.write_text(spec.to_yaml())
    pool = Pool[str]("colaflex.leaderboard.cell_process", 1)
    ended: list[ProcessEnd[str]] = []
    try:
        with log.open("wb") as output:
            arguments = [str(file), str(tmp_path / "run"), "--device", "cpu"]
            pool.start("cell", arguments, stdout=output, stderr=output)
        while when == "in training" and "representation: step 0 of" not in log.read_text():
            time.sleep(0.01)
        pool.stop()
        while not ended:
            ended = list(pool.ended())
            time.sleep(0.01)
    finally:
        pool.kill()
    assert ended[0].code == 130, log.read_text()
    assert "interrupted in stage representation after step" in log.read_text()
    assert list((tmp_path / "run/checkpoints").iterdir())
