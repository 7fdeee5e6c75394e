"""`colaflex verify`: what is whole, what is damaged, what was written before there were digests."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "runs" / "one"))


def states(document: Any) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in document["files"]:
        found.setdefault(row["state"], set()).add(Path(row["path"]).name)
    return found


def test_a_whole_run_is_whole_alone_and_below_a_folder(
    copy: Path, colaflex_command: Command
) -> None:
    for path in (copy, copy.parent):
        done = colaflex_command("verify", path, "--json")
        assert done.code == 0 and done.json["whole"]
        assert states(done.json).keys() == {"whole"}
    named = states(done.json)["whole"]
    assert {"spec.yaml", "tokenizer.json", "result.json", "items.json", "metrics.jsonl"} <= named
    assert any(name.startswith("prior-") for name in named)


@pytest.mark.parametrize(
    "name",
    ["spec.yaml", "tokenizer.json", "items.json", "samples.jsonl", "metrics.jsonl", "report.html"],
)
def test_a_flipped_bit_is_found(copy: Path, name: str, colaflex_command: Command) -> None:
    raw = bytearray((copy / name).read_bytes())
    raw[len(raw) // 2] ^= 1
    (copy / name).write_bytes(raw)
    done = colaflex_command("verify", copy, "--json")
    assert done.code == 1 and not done.json["whole"]
    assert states(done.json)["damaged"] == {name}
    told = colaflex_command("verify", copy)
    assert told.code == 1 and f"{name}: has changed since this run wrote it" in told.err


def test_a_damaged_older_checkpoint_is_found_too(copy: Path, colaflex_command: Command) -> None:
    older = min(
        (copy / "checkpoints").iterdir(), key=lambda p: (p / "manifest.json").stat().st_mtime
    )
    (older / "model.safetensors").write_bytes(b"x")
    done = colaflex_command("verify", copy, "--json")
    assert states(done.json)["damaged"] == {older.name}


def test_a_missing_final_checkpoint_is_found(copy: Path, colaflex_command: Command) -> None:
    final = json.loads((copy / "manifest.json").read_text())["weights"][0]
    shutil.rmtree(copy / "checkpoints" / final)
    done = colaflex_command("verify", copy, "--json")
    assert states(done.json)["damaged"] == {final}


def test_a_run_of_before_says_so_and_its_checkpoints_are_checked(
    copy: Path, colaflex_command: Command
) -> None:
    (copy / "manifest.json").unlink()
    done = colaflex_command("verify", copy, "--json")
    assert done.code == 0
    assert states(done.json)["unrecorded"] == {"run.json"}
    assert "not checked" in colaflex_command("verify", copy).err


@pytest.mark.parametrize("board", ["worlds", "benchmarks/boards/bible.yaml"])
def test_the_records_of_our_boards_are_whole(
    board: str, colaflex_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    done = colaflex_command("verify", board, "--json")
    assert done.code == 0 and len(done.json["files"]) >= 12


def test_a_changed_record_is_found(tmp_path: Path, colaflex_command: Command) -> None:
    shutil.copytree(ROOT / "specs", tmp_path / "specs")
    copy = tmp_path / "benchmarks"
    shutil.copytree(ROOT / "benchmarks/boards", copy / "boards")
    shutil.copytree(ROOT / "benchmarks/results/bible", copy / "results/bible")
    record = min((copy / "results/bible").glob("*.json"))
    record.write_text(record.read_text().replace('"seed": 0', '"seed": 1', 1))
    done = colaflex_command("verify", copy / "boards/bible.yaml", "--json")
    assert done.code == 1
    assert states(done.json)["damaged"] == {record.name}


def test_a_study_has_its_journal_and_its_runs_checked(
    copy: Path, colaflex_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = ROOT / "specs/studies/tiny.yaml"
    folder = copy.parent.parent
    monkeypatch.chdir(folder)
    assert colaflex_command("verify", tiny).code == 2  # not begun
    trials = folder / "runs/studies/tiny"
    shutil.copytree(copy, trials / "trial-0")
    done = colaflex_command("verify", tiny, "--json")
    assert done.code == 0 and "result.json" in states(done.json)["whole"]
    (trials / "journal.log").write_text('{"op_code": 0, "nonsense"')
    assert colaflex_command("verify", trials).code in (0, 1)


@pytest.mark.parametrize("what", ["nowhere", "empty", "spec.yaml"])
def test_what_is_nothing_to_verify_is_refused(
    what: str, tmp_path: Path, colaflex_command: Command
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "spec.yaml").write_text("name: x\n")
    done = colaflex_command("verify", tmp_path / what)
    assert done.code == 2 and "Traceback" not in done.err
