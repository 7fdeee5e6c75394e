"""What a lever is worth: the recipe less the recipe without it, seed by seed."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
from made_up_records import Bench, Plain

from colaflex.leaderboard.board import Board
from colaflex.spec import Spec

ROOT = Path(__file__).parent.parent.parent
COHERENT, ENTROPY = "generation.coherent_documents", "generation.unigram_entropy"
LEVERS = ("levers_worlds", "levers_bible")


def value_of(record: Plain, metric: str, value: float) -> None:
    """Give a record a value of a metric, with the items that come to it."""
    record["metrics"][metric] = {"value": value, "low": None, "high": None, "n": 100}
    if metric in record["items"]:
        hits = round(100 * value)
        record["items"][metric] = {"values": [1.0] * hits + [0.0] * (100 - hits), "weights": None}


def table_of(bench: Bench, page: Path) -> list[str]:
    """What the command writes into a page, from the records that a bench has."""
    page.write_text("before\n<!-- table: worlds -->\nold\n<!-- end -->\nbehind\n")
    path = bench.write()
    command = [sys.executable, "benchmarks/leave_one_out.py", "--read", "--write"]
    done = subprocess.run(
        [*command, "--boards", str(path), "--page", str(page)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = page.read_text().splitlines()
    assert (lines[0], lines[-1]) == ("before", "behind") and "old" not in lines
    assert lines[2] in done.stdout
    return lines[2:-2]


def test_worth_is_paired_by_seed_with_student_s_interval(bench: Bench, tmp_path: Path) -> None:
    bench.keep(budget="small").drop(row="masked_diffusion")
    full, less = (0.80, 0.90, 0.70), (0.74, 0.86, 0.68)  # 6, 4 and 2 points
    for seed in range(3):
        bench.change(
            lambda r, v=full[seed]: value_of(r, COHERENT, v), row="flow_matching", seed=seed
        )
        bench.change(lambda r, v=less[seed]: value_of(r, COHERENT, v), row="consistency", seed=seed)
        bench.change(lambda r: value_of(r, COHERENT, 0.1), row="normalizing_flow", seed=seed)
        bench.change(lambda r: value_of(r, COHERENT, 0.9), row="rectified_flow", seed=seed)
    bench.drop(row="rectified_flow", seed=1).drop(row="rectified_flow", seed=2)
    head, _, *rows = table_of(bench, tmp_path / "levers.md")
    cells = {row.split(" | ")[0].strip("| "): row.split(" | ") for row in rows}
    half = 4.3027 * 2 / math.sqrt(3)  # t of 2 degrees of freedom, the differences' deviation
    assert cells["consistency"][2] == f"+4.0 [{4 - half:+.1f}, {4 + half:+.1f}]"
    assert cells["consistency"][1] == "`prior: consistency`"
    # Of one seed there is no interval; of none, nothing; the entropy is no merit.
    assert cells["rectified flow"][2] == "-10.0" and cells["rectified flow"][-1] == "1 |"
    assert cells["masked diffusion"][2] == "—" and list(cells)[-1] == "masked diffusion"
    assert "entropy" not in head
    assert next(iter(cells)) == "normalizing flow"  # what is worth most


def test_where_less_is_better_a_lever_that_helps_is_above_zero(
    bench: Bench, tmp_path: Path
) -> None:
    path = bench.board.path
    path.write_text(path.read_text().replace("better: higher", "better: lower"))
    bench.board = Board.load(path)
    for row, value in (("flow_matching", 0.2), ("consistency", 0.5)):
        bench.change(lambda r, v=value: value_of(r, COHERENT, v), row=row)
    rows = table_of(bench.keep(budget="small"), tmp_path / "levers.md")
    assert next(row for row in rows if "consistency" in row).split(" | ")[2] == (
        "+30.0 [+30.0, +30.0]"
    )


@pytest.mark.parametrize("name", LEVERS)
def test_every_lever_changes_the_recipe_and_stands_on_the_page(name: str) -> None:
    board = Board.load(ROOT / f"benchmarks/boards/{name}.yaml")
    full, *levers = board.rows
    page = (ROOT / "docs/levers.md").read_text("utf-8")
    section = page.partition(f"<!-- table: {name} -->")[2].partition("<!-- end -->")[0]
    assert not board.rows[full].set and len(board.seeds) == 3
    for lever in levers:
        assert Spec.diff(board.specs[full], board.specs[lever])
        assert f"| {lever.replace('_', ' ')} |" in section


RECIPES = [("levers_worlds", "worlds", "flow_matching_chained"),
           ("levers_bible", "bible", "flow_matching_readout")]  # fmt: skip


@pytest.mark.parametrize(("name", "board", "row"), RECIPES)
def test_the_recipe_is_a_row_of_the_board_beside_what_is_measured(
    name: str, board: str, row: str
) -> None:
    levers = Board.load(ROOT / f"benchmarks/boards/{name}.yaml")
    of_board = Board.load(ROOT / f"benchmarks/boards/{board}.yaml").specs[row]
    differences = {each.path for each in Spec.diff(levers.specs["full"], of_board)}
    measured = ("name", "evaluation.", "training.keep_", "training.log_")
    assert not {path for path in differences if not path.startswith(measured)}
