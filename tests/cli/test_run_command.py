"""`colaflex run`: streams, exit codes, folders that are taken, swaps, dry runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]
QUICK = ("--set", "evaluation.samples=0", "--set", "evaluation.documents=2")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused(done: Any, message: str) -> None:
    assert done.code == 2
    assert message in done.err and done.err.count("Error: ") == 1
    assert "Traceback" not in done.err and done.out == ""


def test_stdout_is_the_result_and_stderr_the_progress(
    colaflex_command: Command, tiny: Path, tmp_path: Path
) -> None:
    done = colaflex_command("run", tiny, "--out", tmp_path / "a", "--json", *QUICK)
    assert done.code == 0
    assert done.json == json.loads((tmp_path / "a/result.json").read_text())
    assert "prior: step 9 of 9, loss " in done.err
    assert f"results: {tmp_path / 'a'}, report: {tmp_path / 'a/report.html'}" in done.err


def test_without_json_stdout_is_a_summary_and_the_folder_has_the_specs_name(
    colaflex_command: Command, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = colaflex_command("run", tiny, *QUICK)
    assert done.code == 0
    assert (tmp_path / "runs/tiny/result.json").exists()
    assert "tiny" in done.out and "token" in done.out


def test_a_finished_folder_is_left_as_it_is(
    colaflex_command: Command, finished: Path, tiny: Path
) -> None:
    before = contents(finished)
    refused(colaflex_command("run", tiny, "--out", finished), "go on with it with --resume, or")
    done = colaflex_command("run", tiny, "--out", finished, "--resume", "--json")
    assert done.code == 0
    assert "this run is complete" in done.err
    assert done.json == json.loads(before["result.json"])
    assert contents(finished) == before


def test_a_folder_of_another_spec_is_refused(
    colaflex_command: Command, finished: Path, tiny: Path
) -> None:
    before = contents(finished)
    for more in ([], ["--resume"]):
        done = colaflex_command(
            "run", tiny, "--out", finished, "--set", "prior.block_size=2", *more
        )
        refused(done, "holds a run of another spec")
        digest = json.loads(before["result.json"])["spec_digest"]
        assert digest[:12] in done.err and "--out" in done.err
    assert contents(finished) == before


def test_a_foreign_folder_or_a_file_is_refused(
    colaflex_command: Command, tiny: Path, tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/one.jpg").write_bytes(b"jpg")
    done = colaflex_command("run", tiny, "--out", tmp_path / "photos", "--resume")
    refused(done, "is not empty and holds no run; choose another one with --out")
    assert contents(tmp_path) == {"photos/one.jpg": b"jpg"}
    done = colaflex_command("run", tiny, "--out", tmp_path / "photos/one.jpg")
    refused(done, "one.jpg: can't be made: File exists")


def test_a_swap_is_told_on_stderr(colaflex_command: Command, tiny: Path, tmp_path: Path) -> None:
    colaflex_command("run", tiny, "--out", tmp_path / "a", *QUICK)
    arguments = ["--set", "prior=rectified_flow", "--out", tmp_path / "b", "--json", *QUICK]
    done = colaflex_command("run", tiny, *arguments)
    assert done.code == 0, done.err
    assert "prior: flow_matching -> rectified_flow" in done.err
    assert "  kept      " in done.err and "block_size=4" in done.err
    assert "  defaulted " in done.err and "teacher_steps" in done.err
    assert "stage 1: reused" in done.err
    assert done.json["training"]["stages"][0]["reused"] is True
    arguments = ["--set", "prior=flow_matching", "--dry-run"]
    back = colaflex_command("run", tmp_path / "b/spec.yaml", *arguments)
    assert "  dropped   " in back.err and "teacher=none" in back.err


def test_seeds_have_a_folder_each(colaflex_command: Command, tiny: Path, tmp_path: Path) -> None:
    arguments = ["run", tiny, "--out", tmp_path, "--seeds", 2, "--json", *QUICK]
    done = colaflex_command(*arguments)
    assert [result["seed"] for result in done.json] == [0, 1]
    assert {path.name for path in tmp_path.iterdir()} == {"seed-0", "seed-1"}
    assert done.json[0]["spec_digest"] != done.json[1]["spec_digest"]
    (tmp_path / "seed-1/result.json").unlink()
    assert [r["seed"] for r in colaflex_command(*arguments, "--resume").json] == [0, 1]
    arguments.remove("--json")
    table = colaflex_command(*arguments, "--resume").out.partition("2 seeds")[2].splitlines()
    assert table[0].split() == ["seed", "0", "seed", "1", "mean", "spread"]
    (row,) = (line.split() for line in table if "token reconstruction, %" in line)
    one, other, mean, sign, spread = row[3:]
    assert float(mean) == pytest.approx((float(one) + float(other)) / 2, abs=0.11)
    assert sign == "±"
    assert float(spread) == pytest.approx(abs(float(one) - float(other)) / 2**0.5, abs=0.15)


def test_a_dry_run_tells_the_cost_and_leaves_nothing(
    colaflex_command: Command, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = colaflex_command("run", tiny, "--dry-run", "--json", *QUICK).json
    run = colaflex_command("run", tiny, "--out", tmp_path / "a", "--json", *QUICK).json
    assert found["parameters"] == run["parameters"]
    assert [stage["name"] for stage in found["stages"]] == ["representation", "prior"]
    assert found["flops"] == pytest.approx(run["training"]["flops"], rel=0.3)
    assert found["seconds"] > 0 and 0.05 < found["memory_gib"] < 8
    assert {path.name for path in tmp_path.iterdir()} == {"a"}
    done = colaflex_command("run", tiny, "--dry-run", "--set", "prior=rectified_flow")
    assert done.code == 0
    assert done.out.count("stage ") == 3
    assert "parameters, total: " in done.out and "FLOPs" in done.out
    assert "GiB" in done.out and "minutes" in done.out
    assert {path.name for path in tmp_path.iterdir()} == {"a"}


def test_a_dry_run_counts_the_judge(
    colaflex_command: Command, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLAFLEX_CACHE", str(tmp_path / "cache"))
    lines = [f"{i} is a number after {i - 1}, and it comes before {i + 1}" for i in range(200)]
    (tmp_path / "text.txt").write_text("\n".join(lines))
    corpus = {"type": "text_files", "path": str(tmp_path / "text.txt"), "documents": "line"}
    run = ["run", tiny, "--set", f"corpus={json.dumps(corpus)}"]
    run += ["--set", "evaluation.judge={steps: 9, batch_size: 2, width: 16, layers: 1, heads: 2}"]
    with_judge = colaflex_command(*run, "--dry-run", "--json").json
    stages, judge = with_judge["stages"], with_judge["judge"]
    assert (judge["steps"], judge["known"]) == (9, False)
    for cost in ("flops", "seconds"):
        assert with_judge[cost] == sum(part[cost] for part in (*stages, judge))
    for nothing in ("evaluation.judge.enabled=false", "evaluation.samples=0"):
        found = colaflex_command(*run, "--set", nothing, "--dry-run", "--json").json
        assert found["judge"] is None
        assert found["flops"] == sum(stage["flops"] for stage in stages)
    assert "judge: at most 9 steps, " in colaflex_command(*run, "--dry-run").out
    done = colaflex_command(*run, "--out", tmp_path / "a")
    assert done.code == 0
    assert "evaluation: judge: 9 of 9 steps" in done.err
    assert "FLOPs, trained before" in colaflex_command(*run, "--dry-run").out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--device", "cuda"],
            "--device cuda: this machine has no CUDA device; choose cpu or auto",
        ),
        (["--device", "gpu"], "no such device"),
        (["--precision", "fp16"], "--precision"),
        (["--seeds", "0"], "--seeds"),
        (["--set", "prior.block_size"], "prior.block_size"),
        (["--set", "prior=flow_match"], "flow_matching"),
        (["--set", "training.accumulate=3"], "cannot be split evenly into 3 shares"),
    ],
)
def test_wrong_arguments_are_one_message(
    colaflex_command: Command, tiny: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    refused(colaflex_command("run", tiny, "--out", tmp_path / "a", *arguments), message)
    assert not (tmp_path / "a").exists()


def test_a_missing_spec_is_one_message(colaflex_command: Command, tmp_path: Path) -> None:
    refused(colaflex_command("run", tmp_path / "none.yaml"), "none.yaml")
