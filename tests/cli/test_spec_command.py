from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from colaflex.cli.init_command import SCHEMA_FILE, SPEC_FILE
from colaflex.cli.main import main
from colaflex.files.yaml import read_file
from colaflex.spec import Spec

SPEC = "corpus: bible\nprior: {type: rectified_flow, teacher_steps: 3}\n"


def call(capsys: pytest.CaptureFixture[str], *arguments: Any):
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def path(tmp_path: Path):
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC)
    return path


def test_show_prints_a_spec_that_loads(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    code, out, err = call(capsys, "spec", "show", path, "--set", "prior=flow_matching")
    assert code == 0
    assert "prior: rectified_flow -> flow_matching\n  dropped   teacher_steps=3" in err
    saved = tmp_path / "saved.yaml"
    saved.write_text(out)
    assert Spec.load(saved) == Spec.load(path, ["prior=flow_matching"])
    code, out, _ = call(capsys, "spec", "show", path, "--json")
    assert json.loads(out) == Spec.load(path).resolved()


def test_show_origin_tells_where_each_value_is_from(path: Path, capsys: pytest.CaptureFixture[str]):
    code, out, _ = call(capsys, "spec", "show", path, "--origin", "--set", "seed=3")
    assert code == 0
    lines = {line.split(":")[0]: line.split("  # ")[1] for line in out.splitlines()}
    assert lines["prior.teacher_steps"] == f"{path}:2"
    assert lines["seed"] == "--set"
    assert lines["training.steps"] == "default"
    _, out, _ = call(capsys, "spec", "show", path, "--origin", "--json")
    rows = {row["key"]: row for row in json.loads(out)}
    assert rows["seed"] == {"key": "seed", "value": 0, "origin": "default"}


def test_validate_tells_digest_and_warnings(path: Path, capsys: pytest.CaptureFixture[str]):
    code, out, _ = call(capsys, "spec", "validate", path)
    assert code == 0
    assert out.startswith(f"{path}: valid, digest {Spec.load(path).digest()[:12]}")
    _, out, _ = call(capsys, "spec", "validate", path, path, "--json")
    assert [row["digest"] for row in json.loads(out)] == [Spec.load(path).digest()] * 2


def test_diff(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    other = tmp_path / "other.yaml"
    other.write_text(f"{SPEC}seed: 2\nname: spec\n")
    code, out, _ = call(capsys, "spec", "diff", path, other)
    assert (code, out) == (0, "seed: 0 -> 2\n")
    _, out, _ = call(capsys, "spec", "diff", path, other, "--json")
    assert json.loads(out) == [{"path": "seed", "left": 0, "right": 2}]
    assert call(capsys, "spec", "diff", path, path)[1] == "no difference\n"


def test_init_writes_a_spec_that_its_schema_knows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder = tmp_path / "deep" / "study"
    code, out, _ = call(capsys, "init", folder)
    assert code == 0
    assert f"colaflex run {folder / SPEC_FILE}" in out
    text = (folder / SPEC_FILE).read_text()
    assert text.startswith(f"# yaml-language-server: $schema={SCHEMA_FILE}\n")
    schema = json.loads((folder / SCHEMA_FILE).read_text())
    Draft202012Validator(schema).validate(read_file(folder / SPEC_FILE).plain)
    spec = Spec.load(folder / SPEC_FILE)
    assert spec.name == "first"
    assert spec.override({"name": "x"}).digest() == Spec.parse({"corpus": "bible"}).digest()
    code, out, _ = call(capsys, "spec", "schema")
    assert json.loads(out) == schema


def test_init_overwrites_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / SCHEMA_FILE).write_text("mine")
    code, _, err = call(capsys, "init", tmp_path)
    assert code == 2
    assert "nothing is overwritten" in err
    assert not (tmp_path / SPEC_FILE).exists()
    assert (tmp_path / SCHEMA_FILE).read_text() == "mine"
    file = tmp_path / "file"
    file.write_text("")
    code, _, err = call(capsys, "init", file / "below")
    assert code == 2
    assert "can't be written" in err
    code, out, _ = call(capsys, "init", tmp_path / "new", "--json")
    assert json.loads(out)["spec"].endswith(SPEC_FILE)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["spec", "shwo"], "did you mean 'show'"),
        (["spec", "show"], "Missing argument 'SPEC'"),
        (["spec", "show", "a.yaml", "--orign"], "--origin"),
        (["spec", "show", "nowhere.yaml"], "nowhere.yaml: there is no such file"),
        (["spec", "diff", "nowhere.yaml"], "Missing argument 'B'"),
        (["spec", "validate"], "Missing argument"),
        (["init", "a", "b"], "unexpected extra argument"),
        (["spce"], "did you mean 'spec'"),
    ],
)
def test_wrong_command_lines(arguments: Any, told: str, capsys: pytest.CaptureFixture[str]):
    code, _, err = call(capsys, *arguments)
    assert code == 2
    assert told in err


def test_as_a_process_it_exits_with_2_and_never_imports_torch(path: Path):
    code = (
        "import sys; from colaflex.cli.main import main; code = main(sys.argv[1:]); "
        "assert 'torch' not in sys.modules; sys.exit(code)"
    )

    def run(*arguments: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    done = run("spec", "show", str(path), "--set", "prior.blok=3")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("Error: --set: prior.blok: unknown key of rectified_flow")
    for arguments in (("spec", "schema"), ("spec", "diff", str(path), str(path))):
        assert run(*arguments).returncode == 0
