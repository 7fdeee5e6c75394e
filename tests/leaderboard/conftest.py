"""A tiny board, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from colaflex.leaderboard.board import Board
from colaflex.leaderboard.record import Record

SPEC = """
corpus: {type: worlds, documents: 120, validation_documents: 12, test_documents: 12}
tokenizer: {vocab_size: 300}
segmenter: {type: fixed_patch, size: 4}
representation:
  {type: text_vae, latent_dim: 4, width: 16, encoder_layers: 1, decoder_layers: 1, heads: 2,
   embedding_dim: 8}
prior:
  type: flow_matching
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
    from colaflex.leaderboard.grid import grid
    from colaflex.leaderboard.matching import Matcher

    folder = tmp_path_factory.mktemp("cell")
    matcher, cell = Matcher(small_board, folder / "matches"), grid(small_board)[0]
    spec = matcher.spec(cell, matcher.match(cell).values)
    colaflex.run(spec, out=folder / cell.name)
    return folder / cell.name


@pytest.fixture(scope="session")
def small_record(small_board: Board, run_folder: Path) -> Record:
    """The record of that run."""
    from colaflex.leaderboard.building import build_record
    from colaflex.leaderboard.grid import grid

    return build_record(small_board, grid(small_board)[0], run_folder)


def without_times(data: dict[str, Any]) -> dict[str, Any]:
    """A record's data without what differs between two runs of the same experiment."""
    training = {k: v for k, v in data["training"].items() if "second" not in k}
    training["stages"] = [
        {k: v for k, v in stage.items() if k not in ("seconds", "reused")}
        for stage in training["stages"]
    ]
    metrics = {k: v for k, v in data["metrics"].items() if not k.startswith("speed.")}
    rest = {k: v for k, v in data.items() if k not in ("digest", "environment")}
    return {**rest, "training": training, "metrics": metrics}
