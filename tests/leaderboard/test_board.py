"""Boards: what they mean, and what is wrong with them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from colaflex.errors import UserError
from colaflex.leaderboard.board import Board
from colaflex.leaderboard.cells import Cell, grid, job_spec
from colaflex.spec import SpecError

WithBoard = Callable[..., Path]


def test_a_board_is_its_file_and_the_specs_of_its_rows(with_board: WithBoard) -> None:
    path = with_board()
    board = Board.load(path)
    assert board.path == path and board.results == path.parent.parent / "results/small"
    assert [rank.metric for rank in board.rank] == ["generation.valid_sentences"]
    assert board.rank[0].direction == "higher"
    assert board.metrics == ("generation.valid_sentences", "reconstruction.token_accuracy")
    assert {name: spec.prior.type for name, spec in board.specs.items() if spec.prior} == {
        "flow_matching": "flow_matching",
        "latent_ar": "autoregressive_latent",
    }
    assert board.rows["flow_matching"].tuning.runs == 2


def test_the_direction_of_a_rank_is_known_or_given(with_board: WithBoard) -> None:
    old = "rank: {metric: generation.valid_sentences}"
    several = "rank: [{metric: reconstruction.nll}, {metric: generation.ended, better: lower}]"
    board = Board.load(with_board(old, several))
    assert [rank.direction for rank in board.rank] == ["lower", "lower"]


def test_a_board_in_place_is_the_board_with_its_base(with_board: WithBoard) -> None:
    path = with_board()
    base = Board.load(path)
    inline = "spec:\n" + "".join(
        f"  {line}\n" for line in (path.parent / "base.yaml").read_text().splitlines()
    )
    path.write_text(path.read_text().replace("base: base.yaml\n", inline))
    found = Board.load(path)
    assert {n: s.digest() for n, s in found.specs.items()} == {
        n: s.digest() for n, s in base.specs.items()
    }
    assert found.protocol("d") == base.protocol("d")


def test_boards_are_found_by_name(with_board: WithBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    root = with_board().parent.parent
    (root / "benchmarks").mkdir()
    (root / "boards").rename(root / "benchmarks/boards")
    monkeypatch.chdir(root)
    assert Board.load("small").board == "small"
    with pytest.raises(UserError, match=r"no board 'smal'.*did you mean 'small'"):
        Board.load("smal")


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("title: A small board", "title: Another one", True),
        ("seeds: [0, 1]", "seeds: [0]", True),
        ("tuning: {runs: 2, note: by hand}", "tuning: {runs: 3}", True),
        ("parameters: 24_000", "parameters: 25_000", False),
        ("budgets: {small: 3.2e8}", "budgets: {small: 4e8}", False),
        ("stage1_flops: 0.3", "stage1_flops: 0.4", False),
        ("stage1_flops: 0.3", "stage1_flops: 0.3\ntolerance: {flops: 0.1}", False),
    ],
)
def test_the_protocol_is_what_must_be_equal(
    with_board: WithBoard, old: str, new: str, same: bool
) -> None:
    before = Board.load(with_board())
    after = Board.load(with_board(old, new))
    assert (before.protocol("data") == after.protocol("data")) is same
    assert before.protocol("data") != before.protocol("other data")


def test_what_is_measured_is_in_the_protocol(with_board: WithBoard) -> None:
    path = with_board()
    protocols = {Board.load(path).protocol("d")}
    base = path.parent / "base.yaml"
    for old, new in (
        ("documents: 4", "documents: 5"),
        ("vocab_size: 300", "vocab_size: 301"),
        ("test_documents: 12", "test_documents: 13"),
        ("max_new_tokens: 24", "max_new_tokens: 25"),
    ):
        text = base.read_text()
        base.write_text(text.replace(old, new))
        protocols.add(Board.load(path).protocol("d"))
    assert len(protocols) == 5


def test_the_grid_spreads_seeds_and_can_be_cut(small_board: Board) -> None:
    assert [cell.name for cell in grid(small_board)] == [
        "flow_matching-small-s0",
        "flow_matching-small-s1",
        "latent_ar-small-s0",
        "latent_ar-small-s1",
    ]
    assert grid(small_board, rows=["latent_ar"], seeds=[1]) == [Cell("latent_ar", "small", 1)]
    with pytest.raises(UserError, match="no row 'latentar'; did you mean 'latent_ar'"):
        grid(small_board, rows=["latentar"])
    with pytest.raises(UserError, match="no seed '7'"):
        grid(small_board, seeds=[7])


def test_a_cells_spec_differs_in_what_was_solved_alone(small_board: Board) -> None:
    values = {"prior.network.width": 32, "training.stages.prior.steps": 9}
    spec = job_spec(small_board, Cell("flow_matching", "small", 1), values)
    changed = {d.path for d in spec.diff(small_board.specs["flow_matching"], spec)}
    assert {path for path in changed if "stages" not in path} == {
        "name",
        "seed",
        "prior.network.width",
    }
    assert spec.training.for_stage("prior").steps == 9


RANK = "rank: {metric: generation.valid_sentences}"
FLOW = "flow_matching: {tuning: {runs: 2, note: by hand}}"
LATENT_AR = "prior: autoregressive_latent, prior.transformer: {layers: 1, heads: 2}"

WRONG = [
    ("budgets: {small: 3.2e8}", "budgetts: {small: 3.2e8}", 6, "did you mean `budgets`?"),
    ("board: small", "board: ../small", 2, "is no name"),
    ("base: base.yaml", "title2: x", 4, "unknown key"),
    ("base: base.yaml", "base: bse.yaml", 4, "did you mean `base.yaml`?"),
    ("base: base.yaml", "base: small.yaml", 4, "a board can't be its own base"),
    ("base: base.yaml", "base: base.yaml\nspec: {}", 5, "are both given"),
    ("parameters: 24_000", "parameters: many", 5, "expected an integer from 1"),
    ("budgets: {small: 3.2e8}", "budgets: {}", 6, "expected at least one"),
    ("budgets: {small: 3.2e8}", "budgets: {small: -1}", 6, "expected a number above 0"),
    ("budgets: {small: 3.2e8}", "budgets: {small: 1000}", 6, "too few to train 24,000"),
    ("budgets: {small: 3.2e8}", "budgets: {a: 3e8, b: 3e8}", 6, "the same FLOPs as a"),
    ("budgets: {small: 3.2e8}", "budgets: {a/b: 3e8}", 6, "is no name"),
    ("stage1_flops: 0.3", "stage1_flops: 1.5", 7, "expected a number above 0 and below 1"),
    ("seeds: [0, 1]", "seeds: [0, 1, 0]", 8, "0 stands twice"),
    ("seeds: [0, 1]", "seeds: []", 8, "expected at least one"),
    ("seeds: [0, 1]", "seeds: [zero]", 8, "expected an integer from 0"),
    (RANK, "rank: {metric: generation.valid_sentence}", 9, "`generation.valid_sentences`?"),
    (RANK, "rank: {metric: generation.mean_words}", 9, "which way generation.mean_words is"),
    (RANK, "rank: {metric: reconstruction.nll, better: up}", 9, "one of `higher`, `lower`"),
    (RANK, "rank: [{metric: reconstruction.nll}, {metric: reconstruction.nll}]", 9, "stands twice"),
    (RANK, "rank: []", 9, "expected at least one"),
    (RANK, "", 2, "required"),
    ("show: [reconstruction.token_accuracy]", "show: [speed]", 10, "there is no metric speed"),
    (FLOW, "latent_ar: {}", 13, "duplicate key; it stands already at line 12"),
    (FLOW, "flow_matching: {sets: {}}", 12, "did you mean `set`?"),
    (FLOW, f"other: {{set: {{{LATENT_AR}}}}}", 13, "the same model as other"),
    (FLOW, "flow: {set: {prior: flow_match}}", 12, "did you mean 'flow_matching'?"),
    (FLOW, "flow: {set: {prior.blocksize: 2}}", 12, "did you mean `block_size`?"),
    (FLOW, "flow: {set: {seed: 3}}", 12, "a row can't set what all rows share"),
    (FLOW, "flow: {set: {evaluation.samples: 9}}", 12, "a row can't set what all rows share"),
    (FLOW, "flow: {set: {training.steps: 9}}", 12, "steps follow from the budget"),
    (FLOW, "flow: {set: {a..b: 9}}", 12, "is no key path"),
    (FLOW, "flow: {width: prior.network.widht}", 12, "did you mean `width`?"),
    (FLOW, "flow: {width: prior.network}", 12, "is no number that can be solved for"),
    (FLOW, "flow: {fine: baseline.width}", 12, "the row has no baseline"),
    (FLOW, "bad/name: {}", 12, "is no name"),
    (FLOW, "flow: {tuning: {runs: -1}}", 12, "expected an integer from 0"),
]


@pytest.mark.parametrize(("old", "new", "line", "message"), WRONG)
def test_wrong_boards_are_refused_with_place_and_hint(
    with_board: WithBoard, old: str, new: str, line: int, message: str
) -> None:
    path = with_board(old, new)
    with pytest.raises(SpecError) as error:
        Board.load(path)
    text = str(error.value)
    assert message in text
    assert f"{path}:{line}:" in text, text


def test_a_board_without_rows_is_refused(with_board: WithBoard) -> None:
    path = with_board()
    path.write_text(path.read_text().partition("rows:")[0] + "rows: {}\n")
    with pytest.raises(SpecError, match="rows: expected at least one"):
        Board.load(path)


def test_a_base_that_extends_itself_is_refused(with_board: WithBoard) -> None:
    path = with_board()
    base = path.parent / "base.yaml"
    base.write_text("extends: base.yaml\n" + base.read_text())
    with pytest.raises(SpecError, match=r"a spec can't extend itself: base\.yaml"):
        Board.load(path)


def test_a_rank_that_no_row_can_have_is_refused(with_board: WithBoard) -> None:
    path = with_board(RANK, "rank: {metric: likelihood.bits_per_byte}")
    assert Board.load(path).rank  # a mixture head has an exact likelihood
    text = path.read_text()
    only = text.partition("  flow_matching:")[0] + "  few: {set: {prior: consistency}}\n"
    path.write_text(only)
    with pytest.raises(SpecError, match=r"no row can have likelihood\.bits_per_byte: none decl"):
        Board.load(path)
    path.write_text(only.replace("likelihood.bits_per_byte", "generation.judge_nll"))
    base = path.parent / "base.yaml"
    base.write_text(base.read_text().replace("samples: 4,", "samples: 0,"))
    with pytest.raises(SpecError, match=r"evaluation\.samples is 0"):
        Board.load(path)


def test_errors_of_a_board_are_one_message_of_the_command(
    with_board: WithBoard, colaflex_command: Callable[..., Any]
) -> None:
    path = with_board("seeds: [0, 1]", "seeds: [0, 0]")
    for arguments in (["run"], ["run", "--dry-run"], ["check"], ["index"]):
        done = colaflex_command("bench", arguments[0], path, *arguments[1:])
        assert done.code == 2 and done.out == ""
        assert f"{path}:8:12: seeds.1: 0 stands twice; remove one" in done.err
        assert "Traceback" not in done.err


def test_reading_a_board_imports_no_torch(with_board: WithBoard) -> None:
    code = (
        "import sys\n"
        "from colaflex.leaderboard.board import Board\n"
        "from colaflex.leaderboard.records import load_records\n"
        f"assert load_records(Board.load({str(with_board())!r})) == []\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_everything_that_is_wrong_with_a_board_is_told_at_once(with_board: WithBoard) -> None:
    path = with_board("base: base.yaml\nparameters: 24_000", "titel: x\nparameters: many")
    with pytest.raises(SpecError) as error:
        Board.load(path)
    told = [problem.message for problem in error.value.problems]
    assert told[0] == "required: `base` or `spec`"
    assert told[1] == "unknown key" and told[2].startswith("expected an integer from 1")
