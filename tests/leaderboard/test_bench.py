"""A bench run for real: once, again, side by side, and killed at any moment."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from colaflex.errors import UserError
from colaflex.leaderboard.bench import Bench as Runner
from colaflex.leaderboard.board import Board
from colaflex.leaderboard.cell_pool import Settings
from colaflex.leaderboard.cells import grid
from colaflex.leaderboard.record import Record, sealed, write_record
from colaflex.leaderboard.records import load_records
from colaflex.spec import Spec

CELLS = ["flow_matching-small-s0", "flow_matching-small-s1", "latent_ar-small-s0"]
CELLS += ["latent_ar-small-s1"]
pytestmark = pytest.mark.timeout(1200)  # real runs, in processes of their own

PATIENCE = 600.0


@dataclass
class Bench:
    """A board in a folder of its own, with a cache of its own."""

    folder: Path

    @property
    def board(self) -> Board:
        return Board.load(self.folder / "boards/small.yaml")

    @property
    def records(self) -> dict[str, Record]:
        return {record.cell: record for record in load_records(self.board)}

    def files(self) -> dict[Path, int]:
        """Every file with the time of its last change; the cache is not looked at."""
        found = {}
        for top in ("out", "results"):
            for folder, _, names in os.walk(self.folder / top):
                for name in names:
                    with suppress(FileNotFoundError):  # a checkpoint may go at any moment
                        path = Path(folder) / name
                        found[path] = path.stat().st_mtime_ns
        return found

    def finished(self) -> dict[Path, int]:
        """The files of finished cells, and of their logs."""
        cells = {path.parent.name for path in (self.folder / "out").glob("*/report.html")}
        found = self.files()
        return {path: time for path, time in found.items() if {path.parent.name, path.stem} & cells}

    def trained(self) -> dict[str, list[str]]:
        """The stages that each cell has begun, as its log says."""
        return {
            path.stem: [
                line.partition(":")[0]
                for line in path.read_text().splitlines()
                if ": step 0 of" in line
            ]
            for path in sorted((self.folder / "out/logs").glob("*.log"))
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        board = str(self.folder / "boards/small.yaml")
        command = [sys.executable, "-m", "colaflex", "bench", "run", board]
        return subprocess.Popen(
            [*command, "--out", str(self.folder / "out"), *arguments],
            env={**os.environ, "COLAFLEX_CACHE": str(self.folder / "cache")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Tests may run in the background of a script, where Ctrl-C is ignored from birth on.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )

    def run(self, *arguments: str) -> tuple[int, str, str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=PATIENCE)
        return process.returncode, out, err


def bench_in(folder: Path, board: Board) -> Bench:
    """A copy of a board, to be run in a folder."""
    (folder / "boards").mkdir()
    for name in ("small.yaml", "base.yaml"):
        (folder / "boards" / name).write_bytes((board.path.parent / name).read_bytes())
    return Bench(folder)


@pytest.fixture(scope="module")
def benched(small_board: Board, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """An undisturbed run of the small board."""
    bench = bench_in(tmp_path_factory.mktemp("benched"), small_board)
    code, _, err = bench.run("--workers", "2")
    assert code == 0, err
    assert "cell 1 of 4: flow_matching-small-s0: runs" in err
    assert "minutes left" in err
    assert ": step " in err  # what the cells say while they run
    return bench


@pytest.fixture
def bench(small_board: Board, tmp_path: Path) -> Bench:
    return bench_in(tmp_path, small_board)


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


def comparable(bench: Bench) -> dict[str, dict[str, Any]]:
    return {name: without_times(record.as_json()) for name, record in bench.records.items()}


def test_every_cell_has_a_record_that_matches(benched: Bench) -> None:
    assert sorted(benched.records) == CELLS
    for record in benched.records.values():
        assert record.matched.ok is True
        assert record.parameters["total"] == pytest.approx(24_000, rel=0.02)
        assert record.training.flops == pytest.approx(3.2e8, rel=0.03)
        stages = record.training.stages
        assert sum(stage.flops for stage in stages) == record.training.flops


def test_stage_one_is_trained_once_a_seed_and_charged_to_each(benched: Bench) -> None:
    for seed in (0, 1):
        firsts = [
            record.training.stages[0] for record in benched.records.values() if record.seed == seed
        ]
        assert [stage.name for stage in firsts] == ["representation"] * 2
        assert sorted(stage.reused for stage in firsts) == [False, True]
        assert len({stage.flops for stage in firsts}) == 1
    trained = [stage for stages in benched.trained().values() for stage in stages]
    assert sorted(trained) == ["prior"] * 4 + ["representation"] * 2


def test_run_again_it_repeats_nothing(benched: Bench) -> None:
    before = benched.files()
    code, out, err = benched.run("--json")
    assert code == 0 and "4 of 4 cells have a record already" in err
    assert [cell["status"] for cell in json.loads(out)["cells"]] == ["done"] * 4
    assert benched.files() == before


def test_a_record_that_was_lost_is_made_again_from_its_run(benched: Bench) -> None:
    record = benched.records[CELLS[0]]
    (benched.board.results / record.file_name).unlink()
    before = benched.files()
    assert benched.run()[0] == 0
    assert benched.records[CELLS[0]] == record
    assert {p for p, t in benched.files().items() if before.get(p) != t} == {
        benched.board.results / record.file_name
    }


def test_other_data_is_named_as_such(
    small_record: Record, small_board: Board, tmp_path: Path
) -> None:
    """A record that was made before the corpus has changed."""
    board, digest = bench_in(tmp_path, small_board).board, "0" * 64
    content = {key: value for key, value in small_record.as_json().items() if key != "digest"}
    content |= {
        "data_digest": digest,
        "protocol": board.protocol(digest),
        "spec_digest": Spec.parse(small_record.spec).digest(digest),
    }
    path = write_record(sealed(content), board.results)
    runner = Runner(board, grid(board)[:1], Settings(tmp_path / "out"))
    with pytest.raises(UserError, match="was made on other data than the board has now") as caught:
        runner.match()
    assert str(path) in str(caught.value)


def test_a_record_of_another_spec_is_not_replaced(benched: Bench) -> None:
    path = benched.folder / "boards/small.yaml"
    text = path.read_text()
    try:
        path.write_text(text.replace("heads: 2}}", "heads: 4}}"))
        code, _, err = benched.run("--rows", "latent_ar")
    finally:
        path.write_text(text)
    assert code == 2
    assert "but 4 in the row latent_ar" in err or "a record of another spec" in err


def test_a_cell_that_fails_stops_no_other(benched: Bench, bench: Bench) -> None:
    (bench.folder / "cache").symlink_to(benched.folder / "cache")  # stage 1 is known
    foreign = bench.folder / "out" / CELLS[0]
    foreign.mkdir(parents=True)
    (foreign / "photo.jpg").write_bytes(b"jpg")
    code, _, err = bench.run("--rows", "flow_matching")
    assert code == 1
    assert f"failed: {CELLS[0]}: Error: {foreign}: this folder is not empty" in err
    assert list(bench.records) == [CELLS[1]]
    assert list(foreign.iterdir()) == [foreign / "photo.jpg"]


def test_no_time_is_a_clean_end(bench: Bench) -> None:
    code, _, err = bench.run("--minutes", "0")
    assert code == 0 and "4 cells are not finished" in err
    assert not (bench.folder / "out" / CELLS[0]).exists()


def test_two_at_once_share_the_work(benched: Bench, bench: Bench) -> None:
    both = [bench.start("--seeds", "0"), bench.start("--seeds", "0")]
    for process in both:
        _, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, err
    alone = comparable(benched)
    assert comparable(bench) == {name: alone[name] for name in (CELLS[0], CELLS[2])}
    stages = [stage for stages in bench.trained().values() for stage in stages]
    assert sorted(stages) == ["prior"] * 2 + ["representation"]


def children(pid: int) -> Iterator[int]:
    """Processes whose parent it is."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            yield int(path.parent.name)


@pytest.mark.slow
def test_killed_at_random_it_loses_and_repeats_nothing(benched: Bench, bench: Bench) -> None:
    """By SIGKILL, with or without its cells, and by SIGINT, as its files become more."""
    rng = random.Random(7)
    kills, done, ways = 0, dict[Path, int](), ("all", "bench", "interrupt", "all", "bench")
    for number, how in enumerate(ways):
        process = bench.start()
        # Not too near the end, which on a busy machine may come before the signal.
        enough = len(benched.files()) * (number + rng.random()) / (len(ways) + 2)
        deadline = time.monotonic() + PATIENCE
        while len(bench.files()) < enough and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(rng.random() / 20)
        if process.poll() is not None:
            break
        cells = list(children(process.pid))
        process.send_signal(signal.SIGINT if how == "interrupt" else signal.SIGKILL)
        if how == "all":
            for pid in cells:
                os.kill(pid, signal.SIGKILL)
        process.communicate(timeout=PATIENCE)
        if process.returncode == 0:  # the signal came behind the end: no kill
            break
        assert process.returncode == (130 if how == "interrupt" else -signal.SIGKILL)
        kills += 1
        done |= bench.finished()
    assert kills >= 4 and done
    code, _, err = bench.run()
    assert code == 0, err
    assert comparable(bench) == comparable(benched)
    # What was finished at a kill has not been touched since.
    assert {path: path.stat().st_mtime_ns for path in done} == done
    # A seed's stage 1 is in one cell alone, however often that one was begun.
    for seed in (0, 1):
        cells = [stages for cell, stages in bench.trained().items() if cell.endswith(f"s{seed}")]
        assert sum("representation" in stages for stages in cells) == 1
