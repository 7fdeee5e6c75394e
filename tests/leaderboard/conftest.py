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

from made_up_records import (
    BUDGETS,
    QUALITY,
    Bench,
    make_hostile,
    make_record,
    write_worlds,
)

SPEC = """
corpus: {type: worlds, documents: 120, validation_documents: 12, test_documents: 12}
tokenizer: {vocab_size: 300}
segmenter: {type: fixed_patch, size: 4}
representation:
  {type: text_vae, latent_dim: 4, width: 16, encoder_layers: 1, decoder_layers: 1, heads: 2,
   embedding_dim: 8}
prior:
  type: flow_matching
  readout: linear
  history: latents
  block_size: 4
  network: {type: block_causal, width: 16, layers: 1, heads: 2, time_width: 8}
training: {regime: frozen, batch_size: 4, max_tokens: 64, log_every: 5, checkpoint_every: 4}
sampling: {max_new_tokens: 24, steps: 2}
evaluation:
  {samples: 4, documents: 4, sweep_steps: [], sweep_guidance: [], sweep_samples: 2,
   bootstrap: 100}
"""

BOARD = """
board: small
title: A small board
base: base.yaml
parameters: 24_000
budgets: {small: 3.2e8}
stage1_flops: 0.3
seeds: [0, 1]
rank: {metric: generation.valid_sentences}
show: [reconstruction.token_accuracy]
rows:
  flow_matching: {tuning: {runs: 2, note: by hand}}
  latent_ar:
    set: {prior: autoregressive_latent, prior.transformer: {layers: 1, heads: 2}}
"""

WithBoard = Callable[..., Path]


def write_board(folder: Path, text: str = BOARD, spec: str = SPEC) -> Path:
    """A board file with its base spec, in FOLDER/boards."""
    (folder / "boards").mkdir(parents=True, exist_ok=True)
    (folder / "boards/base.yaml").write_text(spec)
    path = folder / "boards/small.yaml"
    path.write_text(text)
    return path


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
