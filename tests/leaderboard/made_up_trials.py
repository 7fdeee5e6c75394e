"""A board that tunes its rows, and trials of it: made up, of the form that real ones have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from made_up_boards import SPEC, write_board

from colaflex.leaderboard.board import Board
from colaflex.leaderboard.cells import Trial, asked_flops, job_spec, tuning_of
from colaflex.leaderboard.record import write_record
from colaflex.leaderboard.trial_record import TrialRecord, sealed_trial
from colaflex.leaderboard.trials import terms_of
from colaflex.leaderboard.tuning_plan import spec_settings

DATA = "da7a" * 16
ROW = "flow_matching"
TUNED = """
board: small
title: A small board
base: base.yaml
parameters: 24_000
budgets: {small: 3.2e8}
stage1_flops: 0.3
seeds: [0, 1]
rank: {metric: generation.distinct_2, better: higher}
show: [generation.unigram_entropy, generation.valid_sentences, reconstruction.token_accuracy]
tuning: {trials: 3, fidelity: 0.5}
rows:
  flow_matching: {tuning: {note: of the quickstart}}
  autoregressive:
    set:
      baseline: {type: autoregressive, width: 16, layers: 1, heads: 2}
      training.stages.baseline.batch_size: 1
      sampling.temperature: 1
"""


def tuned_board(folder: Path, *changes: str) -> Board:
    """The board, with texts replaced, each by the one behind it."""
    text = TUNED
    for old, new in zip(changes[::2], changes[1::2], strict=True):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return Board.load(write_board(folder, text, SPEC))


def trial_content(
    board: Board,
    number: int,
    settings: Mapping[str, Any],
    *measured: Mapping[str, float],
    row: str = ROW,
    failed: str = "",
    data: str = DATA,
) -> dict[str, Any]:
    """What the record of a trial holds, its digest aside."""
    trial = Trial(row, "small", number)
    flops = asked_flops(board, trial)
    spec = job_spec(board, trial, spec_settings(settings))
    metrics = [
        {name: {"value": value, "low": None, "high": None, "n": 4} for name, value in each.items()}
        for each in measured
    ]
    point = {**board.spaces[row].own(), **settings}
    stage = {"name": "prior", "steps": 9, "tokens": 90, "flops": flops, "seconds": 2.0}
    return {
        "schema": 1,
        "board": board.board,
        "row": row,
        "budget": "small",
        "number": number,
        "seed": tuning_of(board).seed,
        "terms": terms_of(board, row, "small", data),
        "point": point,
        "settings": dict(settings),
        "state": "failed" if failed else "complete",
        "reason": failed,
        "flops": flops,
        "seconds": 2.0,
        "matched": {
            "parameters": {"asked": board.parameters, "found": 24_000},
            "flops": {"asked": flops, "found": flops},
            "ok": True,
        },
        "parameters": {"prior": 24_000, "total": 24_000},
        "spec": spec.resolved(),
        "spec_digest": spec.digest(data),
        "data_digest": data,
        "components": {},
        "training": None if failed else {**stage, "stages": [stage]},
        "samplings": []
        if failed
        else [
            {"point": point, "settings": {**settings, **_sampled(index)}, "metrics": each}
            for index, each in enumerate(metrics)
        ],
        "environment": {"device": "cpu"},
    }


def _sampled(index: int) -> dict[str, Any]:
    return {"sampling.renoise": 0.25 * index} if index else {}


def write_trial(board: Board, content: Mapping[str, Any]) -> Path:
    """Write a trial's record where a board has it."""
    record: TrialRecord = sealed_trial(content)
    return write_record(record, board.results / "tuning" / record.row)
