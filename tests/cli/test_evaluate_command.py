"""`colaflex evaluate`: the same figures again, from the folder alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

Command = Callable[..., Any]


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_metrics_are_those_of_the_run_but_for_speed(
    colaflex_command: Command, finished: Path
) -> None:
    before = contents(finished)
    done = colaflex_command("evaluate", finished, "--json")
    assert done.code == 0, done.err
    assert list(done.json) == ["metrics"]
    own = json.loads((finished / "result.json").read_text())["metrics"]
    again = {k: v for k, v in done.json["metrics"].items() if not k.startswith("speed.")}
    assert again == {k: v for k, v in own.items() if not k.startswith("speed.")}
    assert "warning" not in done.err and "evaluation: samples" in done.err
    assert contents(finished) == before


def test_text_has_a_line_for_each_metric(colaflex_command: Command, unfinished: Path) -> None:
    done = colaflex_command("evaluate", unfinished, "--split", "validation")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert any(line.startswith("reconstruction.token_accuracy ") for line in lines)
    assert any("[" in line for line in lines) and all(len(line.split()) >= 2 for line in lines)


def test_another_corpus_than_at_training_is_told(
    colaflex_command: Command, finished: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished, tmp_path / "run")
    spec = tmp_path / "run/spec.yaml"
    assert "test_documents: 12" in spec.read_text()
    spec.write_text(spec.read_text().replace("test_documents: 12", "test_documents: 9"))
    (tmp_path / "run/manifest.json").unlink()  # else the changed spec is refused
    done = colaflex_command("evaluate", tmp_path / "run", "--json")
    assert done.code == 0, done.err
    assert "warning: the corpus is not the one that this run was trained on" in done.err


def test_what_cannot_be_evaluated_is_one_message(
    colaflex_command: Command, finished: Path, tmp_path: Path
) -> None:
    for arguments, message in (
        ([tmp_path], "is no run folder"),
        ([finished, "--device", "cuda"], "no CUDA device"),
        ([finished, "--split", "train"], "--split"),
    ):
        done = colaflex_command("evaluate", *arguments)
        assert done.code == 2 and message in done.err and "Traceback" not in done.err


def test_tasks_are_put_to_a_run(colaflex_command: Command, finished: Path, tmp_path: Path) -> None:
    rows = [{"prompt": "The path", "ground_truth": "led", "choices": ["led", "fell"]}] * 3
    (tmp_path / "obqa.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    before = contents(finished)
    done = colaflex_command(
        *("evaluate", finished, "--task", "worlds_order", "--task", "obqa", "--json"),
        *("--data", tmp_path),
    )
    assert done.code == 0, done.err
    assert list(done.json) == ["metrics"]
    whole = {k: v for k, v in done.json["metrics"].items() if ".mod" not in k}
    assert {k: v["n"] for k, v in whole.items()} == {
        "task.obqa.accuracy": 3,
        "task.worlds_order.accuracy": 12,
    }
    assert any(name.startswith("task.obqa.accuracy.mod") for name in done.json["metrics"])
    assert contents(finished) == before
    done = colaflex_command(
        *("evaluate", finished, "--task", "obqa", "--data", tmp_path, "--scorer", "best_option")
    )
    assert done.code == 0 and done.out.startswith("task.obqa.accuracy ")


def test_tasks_that_cannot_be_put_to_a_run(
    colaflex_command: Command, finished: Path, tmp_path: Path
) -> None:
    for arguments, message in (
        (["--task", "obqa"], "reads the file obqa.jsonl of yours; pass its folder with --data"),
        (["--task", "obqa", "--data", tmp_path], "obqa.jsonl: there is no such file"),
        (["--task", "obqua"], "unknown task 'obqua'; did you mean 'obqa'"),
        (["--task", "last_word", "--task", "last_word"], "two tasks are called last_word"),
        (["--task", "worlds_order", "--scorer", "exact"], "judges its answers itself"),
        (["--task", "obqa", "--data", tmp_path / "none"], "there is no such folder"),
        (["--scorer", "exact"], "go with --task"),
    ):
        done = colaflex_command("evaluate", finished, *arguments)
        assert done.code == 2 and message in done.err and "Traceback" not in done.err
