"""Tuning run for real: killed, gone on with, and gone on with from another checkout."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from made_up_trials import ROW, tuned_board

from colaflex.leaderboard.bench import Bench
from colaflex.leaderboard.board import Board
from colaflex.leaderboard.cell_pool import Settings
from colaflex.leaderboard.cells import Cell, Trial, grid
from colaflex.leaderboard.records import load_records
from colaflex.leaderboard.trial_record import SamplingResult
from colaflex.leaderboard.trials import load_search, load_winners
from colaflex.leaderboard.tuning_proposals import Proposal, Tried, propose

pytestmark = pytest.mark.timeout(1200)  # real runs, in processes of their own

PATIENCE = 600.0
METRIC = "reconstruction.nll"
PLAN = "tuning: {trials: 3, fidelity: 0.5}"


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """A bench in a checkout: `boards` and `results` are committed, `out` and `cache` are not."""
    command = [sys.executable, "-m", "colaflex", "bench", "run", str(folder / "boards/small.yaml")]
    return subprocess.Popen(
        [*command, "--rows", ROW, "--seeds", "0", "--out", str(folder / "out"), *arguments],
        env={**os.environ, "COLAFLEX_CACHE": str(folder / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        start_new_session=True,
    )


def trials(folder: Path) -> dict[str, bytes]:
    """The committed trials."""
    files = sorted((folder / f"results/small/tuning/{ROW}").glob("*.json"))
    return {path.name: path.read_bytes() for path in files}


def run_until(folder: Path, count: int) -> None:
    """Run until there are so many trials, and kill it with all that it has started."""
    process = start(folder)
    deadline = time.monotonic() + PATIENCE
    while len(trials(folder)) < count:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    children = subprocess.run(
        ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False
    ).stdout.split()
    process.kill()
    for child in children:
        with suppress(ProcessLookupError):
            os.kill(int(child), signal.SIGKILL)
    process.communicate(timeout=PATIENCE)


def finish(folder: Path, *arguments: str) -> tuple[str, str]:
    out, err = (process := start(folder, *arguments)).communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    return out, err


def test_tuning_goes_on_after_a_kill_and_in_another_checkout(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    plan = "tuning: {trials: 3, fidelity: 0.5, samplings: 2, fixed: [prior.block_size]}"
    tuned_board(here, PLAN, plan, "generation.distinct_2, better: higher", METRIC)
    run_until(here, 1)
    first = trials(here)
    run_until(here, 2)
    assert {name: text for name, text in trials(here).items() if name in first} == first
    assert (here / f"out/logs/{ROW}-small-t0000.log").read_text().count(": step 0 of") == 2

    # What is committed is all that another checkout has.
    for name in ("boards", "results"):
        shutil.copytree(here / name, there / name)
    out, err = finish(there, "--json")
    assert "tuning: 1 trials to go" in err
    assert not (there / f"out/{ROW}-small-t0001").exists()
    board = Board.load(there / "boards/small.yaml")
    search = load_search(board, ROW, "small")
    assert search.next is None and {*trials(here)} < {*trials(there)}
    _check_trials(board)
    _check_cell(board, json.loads(out))

    # Again, and nothing is repeated.
    before = {path: path.stat().st_mtime_ns for path in there.rglob("*.json")}
    _, err = finish(there)
    assert "1 of 1 cells have a record already" in err and "tuning:" not in err
    assert {path: path.stat().st_mtime_ns for path in there.rglob("*.json")} == before


def _check_trials(board: Board) -> None:
    space, search = board.spaces[ROW], load_search(board, ROW, "small")
    assert board.tuning is not None
    tried: list[Tried] = []
    for number, record in search.records.items():
        assert record.matched is not None and record.matched.ok
        assert record.flops == pytest.approx(0.5 * 3.2e8, rel=0.03)
        assert record.spec["seed"] == 1000 and record.environment["device"] == "cpu"
        first = Proposal(space.own(), {})
        proposed = propose(space, board.tuning, tried, "lower") if number else first
        assert (record.point, record.settings) == (proposed.point, proposed.settings)
        one, other = record.samplings
        assert one.settings == record.settings and other.settings != one.settings
        assert one.metrics[METRIC] == other.metrics[METRIC]
        for each in (one, other):
            proposal = Proposal(each.point, each.settings)
            tried.append(Tried(proposal, search.value(each.metrics)))


def _check_cell(board: Board, document: dict[str, Any]) -> None:
    (record,) = load_records(board)
    winner = load_winners(board)[ROW, "small"]
    assert winner is not None
    values = [one.metrics[METRIC].value for one in samplings(board)]
    assert winner.value == min(values) and len({*values}) == 3
    assert record.tuning.trial == winner.trial.digest
    assert record.tuning.settings == winner.settings
    assert (record.tuning.runs, record.tuning.flops) == (3, winner.flops)
    assert record.training.flops == pytest.approx(3.2e8, rel=0.03) and record.seed == 0
    spec = board.specs[ROW].override(
        {path: value for path, value in winner.settings.items() if path != "stage1_flops"}
    )
    assert record.spec["training"]["stages"]["prior"]["learning_rate"] == (
        spec.training.for_stage("prior").learning_rate
    )
    assert record.spec["sampling"] == spec.resolved()["sampling"]
    (tuning,) = document["tuning"]
    assert (tuning["complete"], tuning["flops_left"]) == (3, 0)
    assert tuning["winner"]["settings"] == winner.settings
    assert document["left"]["cell_flops"] == 0


def samplings(board: Board) -> list[SamplingResult]:
    records = load_search(board, ROW, "small").records.values()
    return [one for record in records for one in record.samplings]


def test_nothing_is_trained_before_its_time(tmp_path: Path) -> None:
    """Cells wait for their tuning, and what is left is told beforehand."""
    board = tuned_board(
        tmp_path,
        PLAN,
        f"{PLAN[:-1]}, space: {{sampling.guidance: [1, 2], sampling.temperature: [0, 1]}}}}",
    )
    bench = Bench(board, grid(board, ["flow_matching"]), Settings(tmp_path / "out"))
    matches = bench.match()
    assert bench._next() == Trial(ROW, "small", 0)
    assert bench.as_json()["left"] == {
        "tuning_flops": 3 * 0.5 * 3.2e8,
        "cell_flops": sum(match.flops for match in matches.values()),
        "minutes": None,
    }
    assert not bench._known(Cell(ROW, "small", 0))
