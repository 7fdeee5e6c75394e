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
from made_up_trials import ROW, trial_content, tuned_board, write_trial

from colaflex.cli import bench_command
from colaflex.errors import Diverged, RunFailure
from colaflex.leaderboard import cell_process, trial_process
from colaflex.leaderboard.bench import Bench
from colaflex.leaderboard.board import Board
from colaflex.leaderboard.cell_pool import DIVERGED, Settings
from colaflex.leaderboard.cells import Cell, Trial, grid
from colaflex.leaderboard.records import load_records
from colaflex.leaderboard.trial_record import SamplingResult
from colaflex.leaderboard.trials import load_search, load_winners
from colaflex.leaderboard.tuning_plan import spec_settings
from colaflex.leaderboard.tuning_proposals import Proposal, Tried, propose
from colaflex.runtime.pool import ProcessEnd
from colaflex.spec import Spec

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
    assert winner.value == min(values) and len({*values}) > 1
    assert record.tuning.trial == winner.trial.digest
    assert record.tuning.settings == winner.settings
    assert (record.tuning.runs, record.tuning.flops) == (3, winner.flops)
    assert record.training.flops == pytest.approx(3.2e8, rel=0.03) and record.seed == 0
    chosen = board.specs[ROW].override(spec_settings(winner.settings))
    solved = ("name", "seed", *board.rows[ROW].solved_paths(chosen))
    differences = [each.path for each in Spec.diff(chosen, Spec.of_record(record.spec))]
    assert {path for path in differences if not path.endswith(".steps")} <= {*solved}
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


@pytest.fixture
def waiting(tmp_path: Path) -> Bench:
    """A bench of one cell, whose tuning has not begun; nothing of it is run."""
    space = "space: {sampling.temperature: [0, 1], representation.width: [16, 512]}"
    board = tuned_board(tmp_path, PLAN, f"{PLAN[:-1]}, {space}}}")
    bench = Bench(board, [Cell(ROW, "small", 0)], Settings(tmp_path / "out"))
    bench.match()
    return bench


def ended(bench: Bench, trial: Trial, code: int, said: str) -> None:
    """A trial's process has ended."""
    log = bench.pool.log(trial)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(f"prior: step 3 of 9\n{said}\n")
    bench._after(ProcessEnd(trial, code, 1.0))


def test_a_trial_that_diverges_counts_and_one_that_is_killed_does_not(waiting: Bench) -> None:
    trial = waiting._next()
    assert trial == Trial(ROW, "small", 0)
    ended(waiting, trial, DIVERGED, "Error: stage prior, step 3: loss is nan")
    (record,) = load_search(waiting.board, ROW, "small").records.values()
    assert record.state == "failed" and record.reason == "Error: stage prior, step 3: loss is nan"
    assert record.flops == pytest.approx(0.5 * 3.2e8, rel=0.03)
    trial = waiting._next()
    assert isinstance(trial, Trial) and trial.number > 0
    ended(waiting, trial, -9, "gone")
    assert trial.number not in load_search(waiting.board, ROW, "small").records
    assert waiting._next() is None
    reason = waiting.outcome.failed[waiting.cells[0]]
    assert reason.startswith(f"tuning, {trial.name}: gone (ended by signal 9; all of it in ")


@pytest.mark.parametrize(
    ("width", "said"),
    [(512, "budgets.small: 1.6e+08 FLOPs are too few"), (48, "does not match the board")],
)
def test_settings_that_can_t_be_equal_are_a_trial_that_failed_at_no_cost(
    tmp_path: Path, width: int, said: str
) -> None:
    space = f"space: {{representation.width: [16, {width}]}}"
    board = tuned_board(
        tmp_path,
        PLAN,
        f"tuning: {{trials: 2, fidelity: 0.5, {space}}}",
        *(
            "  autoregressive:\n",
            "  autoregressive:\n    tuning: {space: {sampling.top_p: [0.5, 1]}}\n",
        ),
    )
    bench = Bench(board, [Cell(ROW, "small", 0)], Settings(tmp_path / "out"))
    assert bench.tuner is not None
    first = {"generation.distinct_2": 0.5}
    write_trial(board, trial_content(board, 0, {}, first, data=bench.matcher.data.digest))
    assert not list(bench.tuner.waiting())
    missed = load_search(board, ROW, "small").records[1]
    assert missed.state == "failed" and missed.reason.startswith(said)
    assert missed.flops == 0 and missed.settings == {"representation.width": width}
    assert bench.tuner.settings(bench.cells[0]) == {}


def test_all_trials_failed_is_told_of_the_cells(waiting: Bench) -> None:
    data = waiting.matcher.data.digest
    for number in range(3):
        failed = trial_content(waiting.board, number, {}, failed="it was too wide", data=data)
        write_trial(waiting.board, failed)
    assert waiting._next() is None
    said = waiting.outcome.failed[waiting.cells[0]]
    assert said == "no trial of its tuning can be used: it was too wide"


def test_a_row_may_be_tuned_at_one_budget_for_all(tmp_path: Path) -> None:
    two = "{small: 3.2e8, large: 6.4e8}"
    board = tuned_board(tmp_path, PLAN, f"{PLAN[:-1]}, budget: small}}", "{small: 3.2e8}", two)
    bench = Bench(board, grid(board, [ROW]), Settings(tmp_path / "out"))
    assert bench.tuner is not None and bench.tuner.trials_left() == 3
    for number in range(3):
        content = trial_content(
            board, number, {}, {"generation.distinct_2": 0.5}, data=bench.matcher.data.digest
        )
        write_trial(board, content)
    for cell in bench.cells:
        assert bench.tuner.search(cell).budget == "small" and bench.tuner.settings(cell) == {}


@pytest.mark.parametrize(("failure", "code"), [(Diverged, DIVERGED), (RunFailure, 1)])
def test_only_what_will_happen_again_is_a_failed_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: type[RunFailure], code: int
) -> None:
    def train(*_: object) -> None:
        raise failure("no more")

    monkeypatch.setattr(trial_process, "train", train)
    monkeypatch.setattr(cell_process, "when_to_stop", lambda stop: None)
    files = [str(tmp_path / name) for name in ("spec.yaml", "run", "samplings.json")]
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert trial_process.main([files[0], files[1], "--samplings", files[2]]) == code
    finally:
        signal.signal(signal.SIGTERM, before)


def test_the_table_shows_what_was_chosen_whatever_its_kind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    board = tuned_board(tmp_path)
    bench = Bench(board, [Cell(ROW, "small", 0)], Settings(tmp_path / "out"))
    rate = "training.stages.prior.learning_rate"
    chosen = {rate: 0.0012345, "sampling.grid": "power(0.5)", "stage1_flops": 0.15}
    for number, value in enumerate((0.5, 0.6, 0.5)):
        settings, quality = chosen if number == 1 else {}, {"generation.distinct_2": value}
        data = bench.matcher.data.digest
        write_trial(board, trial_content(board, number, settings, quality, data=data))
    bench.match()
    assert bench_command._show(bench, as_json=False) == 0
    shown = capsys.readouterr().out
    for text in ("3 of 3", "grid power(0.5)", "learning_rate 0.0012345", "stage1_flops 0.15"):
        assert text in shown
