"""`colaflex compare`: what differs, without a model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]


@pytest.fixture
def other(finished: Path, tmp_path: Path) -> Path:
    """A run as if of another prior, and better."""
    folder = tmp_path / "other"
    folder.mkdir()
    spec = (finished / "spec.yaml").read_text()
    (folder / "spec.yaml").write_text(
        spec.replace("colaflex:flow_matching", "colaflex:rectified_flow").replace(
            "name: tiny", "name: other"
        )
    )
    shutil.copy(finished / "run.json", folder)
    result = json.loads((finished / "result.json").read_text())
    result["metrics"]["reconstruction.token_accuracy"] = {
        "value": 0.99,
        "low": 0.98,
        "high": 0.995,
        "n": 50,
    }
    result["training"]["stages"].insert(1, {"name": "teacher", "steps": 3})
    del result["metrics"]["speed.seconds_per_sample"]
    (folder / "result.json").write_text(json.dumps(result))
    return folder


def test_json_has_specs_and_metrics(colaflex_command: Command, finished: Path, other: Path) -> None:
    done = colaflex_command("compare", finished, other, finished, "--json")
    assert done.code == 0, done.err
    assert done.json["runs"] == [str(finished), str(other), str(finished)]
    specs = {row["key"]: row["values"] for row in done.json["specs"]}
    assert specs["name"] == ["tiny", "other", "tiny"]
    types = ["colaflex:flow_matching", "colaflex:rectified_flow", "colaflex:flow_matching"]
    assert specs["prior.type"] == types
    assert specs["prior.teacher_steps"][0] is None and specs["prior.teacher_steps"][1] > 0
    assert "prior.block_size" not in specs and "corpus.type" not in specs
    stages = {row["stage"]: row["steps"] for row in done.json["stages"]}
    assert len(stages["prior"]) == 3 and all(steps > 0 for steps in stages["prior"])
    assert stages["teacher"] == [None, 3, None]
    metrics = {row["metric"]: row for row in done.json["metrics"]}
    accuracy = metrics["reconstruction.token_accuracy"]
    assert len(accuracy["values"]) == 3 and len(accuracy["differences"]) == 2
    assert accuracy["differences"][0]["clear"] is True
    assert accuracy["differences"][1]["value"] == 0
    assert metrics["speed.seconds_per_sample"]["values"][1] is None
    assert metrics["speed.seconds_per_sample"]["differences"][0] is None


def test_text_is_three_tables(colaflex_command: Command, finished: Path, other: Path) -> None:
    done = colaflex_command("compare", finished, other)
    assert done.code == 0
    assert "prior.type" in done.out and "reconstruction.token_accuracy" in done.out
    assert "0.99 [0.98, 0.995]" in done.out
    assert "steps of stage" in done.out and "teacher" in done.out


def test_torch_is_never_imported(site: Any, finished: Path, other: Path) -> None:
    done = site.python(
        "-c",
        "import sys\n"
        "from colaflex.cli.main import main\n"
        f"assert main(['compare', {str(finished)!r}, {str(other)!r}, '--json']) == 0\n"
        "assert 'torch' not in sys.modules",
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout).keys() >= {"specs", "metrics"}


def test_what_cannot_be_compared_is_one_message(
    colaflex_command: Command, finished: Path, unfinished: Path, tmp_path: Path
) -> None:
    for arguments, message in (
        ([finished], "compare takes two runs or more"),
        ([], "RUNS"),
        ([finished, tmp_path / "x"], "there is no such run folder"),
        ([finished, unfinished], "this run is not finished, it has no result.json yet"),
    ):
        done = colaflex_command("compare", *arguments)
        assert done.code == 2 and message in done.err and "Traceback" not in done.err


def test_runs_on_the_same_data_are_compared_in_pairs(
    colaflex_command: Command, finished: Path, other: Path, tmp_path: Path
) -> None:
    name, correct = "reconstruction.token_accuracy", [3.0, 5.0, 2.0, 7.0, 4.0, 6.0, 5.0]
    first = tmp_path / "first"
    shutil.copytree(finished, first)
    (first / "manifest.json").unlink()  # it would tell of the items that are put there
    for folder, better in ((first, 0), (other, 1)):
        items = {name: {"values": [c + better for c in correct], "weights": [9] * 7}}
        (folder / "items.json").write_text(json.dumps(items))
    done = colaflex_command("compare", first, other, first, "--json")
    assert done.code == 0, done.err
    differences = {r["metric"]: r["differences"] for r in done.json["metrics"]}
    found, none = differences.pop(name)
    assert (found["p"], found["clear"], found["n"]) == (2 / 2**7, True, 7)
    assert found["value"] == pytest.approx(1 / 9) and none["p"] == 1 and not none["clear"]
    assert all("p" not in (d or {}) for row in differences.values() for d in row)
    text = colaflex_command("compare", first, other).out
    assert "0.016" in text and "p " in text
    # On other data an item is another item.
    run = json.loads((other / "run.json").read_text())
    (other / "run.json").write_text(json.dumps({**run, "data_digest": "0" * 64}))
    assert '"p"' not in colaflex_command("compare", first, other, "--json").out
    (first / "items.json").write_text('{"a": [1, 2]}')
    done = colaflex_command("compare", first, other)
    assert done.code == 2 and "items.json: expected {metric:" in done.err


def test_what_does_not_compare_is_said_and_marked(
    colaflex_command: Command, finished: Path, other: Path
) -> None:
    text = colaflex_command("compare", finished, finished).out
    assert "measured otherwise" not in text and "compare" not in text
    result = json.loads((other / "result.json").read_text())
    result["measurement"] |= {"corpus": "0" * 64, "judge": "1" * 32}
    (other / "result.json").write_text(json.dumps(result))
    run = json.loads((other / "run.json").read_text())
    (other / "run.json").write_text(json.dumps({**run, "data_digest": "2" * 64}))
    done = colaflex_command("compare", finished, other, finished, "--json").json
    assert {row["what"]: row["marked"] for row in done["measured"]}["data"] is True
    for row in done["metrics"]:
        first, second = row["differences"]
        data = row["metric"].partition(".")[0] not in ("speed",)
        assert first is None or first.get("reason", "").startswith("other data") == data
        assert second["comparable"]
    text = colaflex_command("compare", finished, other).out
    assert "measured otherwise" in text and "222222222222" in text and "other data" in text
    assert "metrics don't compare: no difference is tested there" in text
