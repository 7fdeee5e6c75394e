from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from colaflex.errors import UserError
from colaflex.files.run_shapes import checked
from tests.conftest import Ended

WRONG: tuple[tuple[str, str, Any, str], ...] = (
    ("result.json", "metrics", 7, "metrics: expected a map, got a number"),
    ("result.json", "metrics.reconstruction.nll", "x", "nll: expected a map, got the text 'x'"),
    ("result.json", "metrics.reconstruction.nll", {}, "the key metrics.reconstruction.nll.value"),
    ("result.json", "training.stages", {}, "training.stages: expected a list, got a map"),
    ("result.json", "training.stages", [{"steps": 1}], "the key training.stages.0.name is missing"),
    ("result.json", "measurement", [1], "measurement: expected a map, got a list"),
    ("result.json", "measurement.settings", 7, "measurement.settings: expected a map"),
    ("result.json", "parameters.total", "many", "parameters.total: expected a whole number"),
    ("result.json", "split", "half", "split: "),
    ("result.json", "job_seconds", None, "job_seconds: expected a number, got null"),
    ("run.json", "data_digest", 7, "data_digest: expected text, got a number"),
    ("run.json", "reused", {"steps": 1}, "the key reused.tokens is missing"),
    ("run.json", "conditions", "x", "conditions: expected a map"),
    ("run.json", "components", {"prior": 7}, "components.prior: expected a list"),
    ("environment.json", "resumed", [1], "resumed.0: expected a map, got a number"),
)


def put(value: dict[str, Any], path: str, new: Any) -> None:
    """Put a value at a path; the names of metrics have dots of their own."""
    outer, _, rest = path.partition(".")
    if not rest or outer == "metrics":
        holder, key = (value[outer], rest) if rest else (value, outer)
        holder[key] = new
    else:
        put(value[outer], rest, new)


@pytest.mark.parametrize(("name", "path", "new", "said"), WRONG)
def test_what_is_of_another_kind_is_named(
    finished: Path, name: str, path: str, new: Any, said: str
) -> None:
    file = finished / name
    value = json.loads(file.read_text())
    assert checked(value, file) is value
    put(value, path, new)
    with pytest.raises(UserError) as error:
        checked(value, file)
    assert str(error.value).startswith(f"{file}: ") and said in str(error.value)


def test_what_older_runs_lack_is_not_asked_for(finished: Path) -> None:
    result = json.loads((finished / "result.json").read_text())
    for name in ("split", "measurement", "likelihood", "representation_digest"):
        del result[name]
    for stage in result["training"]["stages"]:
        del stage["conditions"], stage["precision"]
    assert checked(result, finished / "result.json") == result


@pytest.mark.parametrize("command", ["compare", "evaluate", "generate", "run"])
def test_commands_say_it(
    colaflex_command: Callable[..., Ended], finished: Path, tiny: Path, tmp_path: Path, command: str
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    (folder / "manifest.json").unlink()
    (folder / "result.json").write_text('{"metrics": []}')
    arguments = {
        "compare": (finished, folder),
        "evaluate": (folder, "--set", "evaluation.samples=2"),
        "generate": (folder, "--prompt", "a"),
        "run": (tiny, "--out", folder, "--resume"),
    }[command]
    done = colaflex_command(command, *arguments)
    assert done.code == 2 and "result.json: " in done.err and "Traceback" not in done.err


@pytest.mark.parametrize("weights", [[1], [0, 0], ["x", 1], 7])
def test_items_without_a_weight_each_are_refused(
    colaflex_command: Callable[..., Ended], finished: Path, tmp_path: Path, weights: Any
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    (folder / "manifest.json").unlink()
    items = {"reconstruction.nll": {"values": [1, 2], "weights": weights}}
    (folder / "items.json").write_text(json.dumps(items))
    done = colaflex_command("compare", finished, folder)
    assert done.code == 2 and "items.json: expected {metric:" in done.err
