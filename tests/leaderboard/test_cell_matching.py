"""Matching: widths that give the parameters, steps that take the FLOPs, of real models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import colaflex
from colaflex.errors import UserError
from colaflex.experiment.result import parameter_counts
from colaflex.leaderboard.board import Board
from colaflex.leaderboard.cell_matching import Matcher
from colaflex.leaderboard.cells import Cell
from colaflex.leaderboard.row import Row
from colaflex.leaderboard.solved_options import knob

WithBoard = Callable[..., Path]
FLOW = "flow_matching: {tuning: {runs: 2, note: by hand}}"
ROWS = {
    "flow_matching": "{}",
    "rectified_flow": "{set: {prior: rectified_flow}}",
    "normalizing_flow": "{set: {prior: normalizing_flow, prior.layers: 1, prior.heads: 2, "
    "prior.hidden_width: 16}}",
    "consistency": "{set: {prior: consistency}}",
    "readout": "{set: {prior.readout: auto, prior.history: auto}}",
    "adapted": "{set: {training.stages.adapt_decoder: {share: 0.1}}}",
    "joint": "{set: {training.regime: joint}}",
    "scratch": "{set: {training.regime: scratch}}",
    "layers": "{width: prior.network.layers, fine: prior.network.time_width}",
}


@pytest.fixture
def board(with_board: WithBoard) -> Board:
    rows = "\n  ".join(f"{name}: {row}" for name, row in ROWS.items())
    return Board.load(with_board(FLOW, rows))


def test_parameters_are_within_two_percent_and_flops_within_three(
    board: Board, tmp_path: Path
) -> None:
    matcher = Matcher(board, tmp_path)
    for row in (*ROWS, "latent_ar"):
        cell = Cell(row, "small", 0)
        match = matcher.match(cell)
        assert match.ok, (row, match)
        assert match.parameters == pytest.approx(board.parameters, rel=0.02), row
        assert match.flops == pytest.approx(board.budgets["small"], rel=0.03), row
        spec = matcher.spec(cell, match.values)
        built = colaflex.experiment.assembly.build_model(spec, matcher.data.tokenizer)
        assert parameter_counts(built)["total"] == match.parameters
        assert match.spec_digest == spec.digest(matcher.data.digest)
        assert (match.stage1_digest == "") is (row == "scratch")


def test_rows_of_a_seed_share_a_stage_one_whatever_their_prior(
    board: Board, tmp_path: Path
) -> None:
    matcher = Matcher(board, tmp_path)
    rows = [row for row in ROWS if row != "scratch"]
    digests = [
        {matcher.match(Cell(row, "small", seed)).stage1_digest for row in rows} for seed in (0, 1)
    ]
    assert all(len(found) == 1 for found in digests) and digests[0] != digests[1]
    stage1 = "training.stages.representation.steps"
    assert len({matcher.match(Cell(row, "small", 0)).values[stage1] for row in rows}) == 1


def test_what_a_finished_run_took_is_what_was_solved_for(
    small_board: Board, run_folder: Path, tmp_path: Path
) -> None:
    result = json.loads((run_folder / "result.json").read_text())
    match = Matcher(small_board, tmp_path).match(Cell("flow_matching", "small", 0))
    assert result["training"]["flops"] == match.flops
    assert result["training"]["flops"] == pytest.approx(3.2e8, rel=0.03)
    first = result["training"]["stages"][0]
    assert first["name"] == "representation"
    assert first["flops"] == pytest.approx(0.3 * 3.2e8, rel=0.05)  # a step is 1 / 10 of it
    assert result["parameters"]["total"] == match.parameters
    assert result["parameters"]["total"] == pytest.approx(24_000, rel=0.02)
    assert result["spec_digest"] == match.spec_digest


@pytest.mark.parametrize(
    ("row", "names"),
    [
        ("rectified_flow", {"representation", "teacher", "prior"}),
        ("adapted", {"representation", "prior", "adapt_decoder"}),
    ],
)
def test_all_stages_share_the_budget(
    row: str, names: set[str], board: Board, tmp_path: Path
) -> None:
    matcher, cell = Matcher(board, tmp_path), Cell(row, "small", 0)
    spec = matcher.spec(cell, matcher.match(cell).values)
    result = colaflex.run(spec, out=tmp_path / "run")
    stages = {stage["name"]: stage["flops"] for stage in result["training"]["stages"]}
    assert set(stages) == names
    assert sum(stages.values()) == pytest.approx(board.budgets["small"], rel=0.03)


def test_what_can_not_be_met_is_told_with_the_nearest(
    with_board: WithBoard, tmp_path: Path
) -> None:
    # Its parameters are estimated in closed form, the representation's alone are learned.
    board = Board.load(with_board(FLOW, "gaussian: {set: {prior: gaussian}}"))
    match = Matcher(board, tmp_path).match(Cell("gaussian", "small", 0))
    assert not match.ok
    assert match.parameters < 0.9 * board.parameters
    assert match.flops == pytest.approx(board.budgets["small"], rel=0.03)


def test_a_total_below_the_smallest_width_finds_the_smallest(
    with_board: WithBoard, tmp_path: Path
) -> None:
    board = Board.load(with_board("parameters: 24_000", "parameters: 13_000"))
    match = Matcher(board, tmp_path).match(Cell("flow_matching", "small", 0))
    assert not match.ok and match.values["prior.network.width"] == 8


def test_a_budget_below_a_step_is_refused(with_board: WithBoard, tmp_path: Path) -> None:
    board = Board.load(with_board("budgets: {small: 3.2e8}", "budgets: {small: 2e6}"))
    with pytest.raises(UserError, match=r"budgets\.small: 2e\+06 FLOPs are too few for the row"):
        Matcher(board, tmp_path).match(Cell("flow_matching", "small", 0))


def test_a_solved_match_is_kept_and_a_changed_row_solved_anew(
    with_board: WithBoard, tmp_path: Path
) -> None:
    board, cell = Board.load(with_board()), Cell("flow_matching", "small", 0)
    first = Matcher(board, tmp_path / "m").match(cell)
    kept = sorted((tmp_path / "m").iterdir())
    times = [path.stat().st_mtime_ns for path in kept]
    assert Matcher(board, tmp_path / "m").match(cell) == first
    assert [path.stat().st_mtime_ns for path in kept] == times
    for path in kept:
        path.write_text("{")  # torn: solved again, to the same
    assert Matcher(board, tmp_path / "m").match(cell) == first
    changed = Board.load(with_board(FLOW, "flow_matching: {set: {prior.network.layers: 2}}"))
    other = Matcher(changed, tmp_path / "m").match(cell)
    assert other.spec_digest != first.spec_digest and other.ok


def test_knobs_are_where_components_have_them(small_board: Board) -> None:
    def usual(prior: dict[str, Any] | str) -> list[str]:
        return Row().solved_paths(small_board.base_spec.override({"prior": prior}))

    assert usual("flow_matching") == ["prior.network.width", "prior.network.feed_forward_ratio"]
    assert usual("normalizing_flow") == ["prior.width", "prior.feed_forward_ratio"]
    assert usual("autoregressive_latent") == [
        "prior.transformer.width",
        "prior.transformer.feed_forward_ratio",
    ]
    assert usual("gaussian") == []


def test_a_width_stays_one_that_splits_into_heads(small_board: Board) -> None:
    spec = small_board.base_spec.override({"prior.network.heads": 3, "prior.network.width": 18})
    width = knob(spec, "prior.network.width")
    assert [width.value(n) for n in (width.least, width.now)] == [12, 18]
    for number in range(width.least, width.least + 5):
        spec.override({"prior.network.width": width.value(number)})
    ratio = knob(spec, "prior.network.feed_forward_ratio")
    assert ratio.value(ratio.now) == 4.0 and ratio.value(ratio.most) == 16.0
    assert ratio.value(ratio.least) == 1 / 64
