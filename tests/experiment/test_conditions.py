"""What moves numbers and is in no digest never passes unseen: precision, device, versions."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import colaflex
from colaflex.errors import UserError
from colaflex.experiment.experiment import RunOptions
from colaflex.spec import Spec
from colaflex.training.watcher import Watcher

QUICK = {"evaluation.samples": 0, "evaluation.documents": 2, "training.steps": 10}
FP32, BF16 = (RunOptions(precision=precision) for precision in ("fp32", "bf16"))


class Crash(Exception):
    """Stands for a kill."""


class CrashIn(Watcher):
    """Crashes after four steps of a stage: behind a checkpoint."""

    def __init__(self, stage: str) -> None:
        self._wanted, self._stage = stage, ""

    def begin(self, stage: str, done: int, total: int) -> None:
        self._stage = stage

    def advance(self, done: int) -> None:
        if self._stage == self._wanted and done == 4:
            raise Crash


def result(folder: Path, name: str = "result.json") -> Any:
    return json.loads((folder / name).read_text())


def first(folder: Path) -> tuple[bool, str | None]:
    """Whether stage 1 was taken from elsewhere, and in which precision it was trained."""
    stage = result(folder)["training"]["stages"][0]
    return stage["reused"], stage["precision"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLAFLEX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def spec(tiny: Path) -> Spec:
    return Spec.load(tiny).override(QUICK)


@pytest.fixture
def begun(spec: Spec, tmp_path: Path, cache: Path) -> Path:
    """A run in fp32 that was killed in its last stage."""
    with pytest.raises(Crash):
        colaflex.run(spec, tmp_path / "begun", FP32, CrashIn("prior"))
    return tmp_path / "begun"


def test_a_stage_1_of_another_precision_is_another_one(
    spec: Spec, tmp_path: Path, cache: Path
) -> None:
    ways = {"a": FP32, "b": BF16, "c": FP32, "d": BF16}
    for name, options in ways.items():
        colaflex.run(spec, tmp_path / name, options)
    assert [first(tmp_path / name) for name in ways] == [
        (False, "fp32"), (False, "bf16"), (True, "fp32"), (True, "bf16"),
    ]  # fmt: skip
    digests = {result(tmp_path / name)["stage1_digest"] for name in ways}
    assert len(digests) == 1
    kept = [load_file(path) for path in sorted((cache / "stage1").glob("*.safetensors"))]
    assert len(kept) == 2
    assert any(not torch.equal(kept[0][name], kept[1][name]) for name in kept[0])


def test_an_entry_that_does_not_say_its_precision_serves_and_is_told(
    spec: Spec, tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    colaflex.run(spec, tmp_path / "a", BF16)
    (path,) = (cache / "stage1").glob("*.safetensors")
    with safe_open(path, framework="pt") as file:
        cost = json.loads(file.metadata()["cost"])
    assert [each["precision"] for each in cost.pop("conditions")] == ["bf16"]
    save_file(load_file(path), path, {"cost": json.dumps(cost)})  # as it was written before
    for name, options in (("b", FP32), ("c", BF16)):
        capsys.readouterr()
        colaflex.run(spec, tmp_path / name, options)
        assert first(tmp_path / name) == (True, None)
        said = capsys.readouterr().err
        assert "warning: stage 1 does not say in which precision it was trained" in said


def test_a_run_has_one_precision(
    begun: Path, spec: Spec, tmp_path: Path, colaflex_command: Callable[..., Any]
) -> None:
    (tmp_path / "spec.yaml").write_text(spec.to_yaml())
    given = ("run", tmp_path / "spec.yaml", "--out", begun, "--resume", "--json")
    before = {path: path.read_bytes() for path in begun.rglob("*") if path.is_file()}
    done = colaflex_command(*given, "--precision", "bf16")
    assert done.code == 2 and "this run began in fp32" in done.err, done.err
    assert {path: path.read_bytes() for path in begun.rglob("*") if path.is_file()} == before
    done = colaflex_command(*given)
    assert done.code == 0 and done.json["environment"]["precision"] == "fp32"
    stages = done.json["training"]["stages"]
    assert [stage["precision"] for stage in stages] == ["fp32", "fp32"]
    done = colaflex_command(*given, "--precision", "bf16")  # nor when it is complete
    assert done.code == 2 and "this run began in fp32" in done.err, done.err


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_older_run_began_as_its_environment_says(
    precision: str, begun: Path, spec: Spec
) -> None:
    identity, machine = (result(begun, name) for name in ("run.json", "environment.json"))
    del identity["conditions"], identity["components"]
    (begun / "run.json").write_text(json.dumps(identity))
    old = ("python", "platform", "processor", "cores", "threads", "device", "packages")
    machine = {name: machine[name] for name in old} | {"precision": precision, "processes": 1}
    (begun / "environment.json").write_text(json.dumps(machine))
    (begun / "manifest.json").unlink(missing_ok=True)
    other = {"fp32": "bf16", "bf16": "fp32"}[precision]
    with pytest.raises(UserError, match=f"this run began in {precision}"):
        colaflex.run(spec, begun, RunOptions(resume=True, precision=other))
    found = colaflex.run(spec, begun, RunOptions(resume=True))
    assert found["environment"]["precision"] == precision


def test_conditions_that_change_within_a_run_are_told_and_kept(
    begun: Path, spec: Spec, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch, "__version__", "9.9.9")
    monkeypatch.setenv("COLAFLEX_STRICT_PLUGINS", "1")
    capsys.readouterr()
    found = colaflex.run(spec, begun, RunOptions(resume=True))
    said = capsys.readouterr().err
    assert "warning: this run began under other conditions (torch: " in said
    assert "-> 9.9.9" in said and "settings: {} -> {'COLAFLEX_STRICT_PLUGINS': '1'}" in said
    one, two = found["training"]["stages"]
    assert [each["torch"] == "9.9.9" for each in one["conditions"]] == [False]
    assert [each["torch"] == "9.9.9" for each in two["conditions"]] == [False, True]
    (later,) = found["environment"]["resumed"]
    assert later["settings"] and not found["environment"]["settings"]


def test_a_stage_1_of_another_device_or_strategy_is_told(
    spec: Spec, tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    colaflex.run(spec, tmp_path / "a", FP32)
    (path,) = (cache / "stage1").glob("*.safetensors")
    with safe_open(path, framework="pt") as file:
        cost = json.loads(file.metadata()["cost"])
    cost["conditions"][0] |= {"device": "cuda (H200)", "processes": 4, "strategy": "fsdp"}
    save_file(load_file(path), path, {"cost": json.dumps(cost)})
    capsys.readouterr()
    colaflex.run(spec, tmp_path / "b", FP32)
    assert (
        "warning: stage 1 was trained under other conditions than this run (device: cuda (H200) -> "
        "cpu, processes: 4 -> 1, strategy: fsdp -> none)"
    ) in capsys.readouterr().err
    assert result(tmp_path / "b")["training"]["stages"][0]["conditions"] == cost["conditions"]


def test_what_other_runs_hand_over_says_its_precision(
    spec: Spec, tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "source"
    colaflex.run(spec, source, BF16)
    taken = {"representation.from": str(source), "prior": "rectified_flow"}
    taught = spec.override({**taken, "prior.teacher": str(source)})
    capsys.readouterr()
    found = colaflex.run(taught, tmp_path / "taught", FP32)
    said = capsys.readouterr().err
    for what in ("stage 1", "the teacher"):
        words = "was trained under other conditions than this run (precision: bf16 -> fp32)"
        assert f"warning: {what} {words}" in said
    stages = [(stage["name"], stage["precision"]) for stage in found["training"]["stages"]]
    assert stages == [("representation", "bf16"), ("teacher", "bf16"), ("prior", "fp32")]
    assert found["environment"]["precision"] == "fp32"
    # A run from before stages said so: as it was as a whole.
    old = result(source)
    for stage in old["training"]["stages"]:
        del stage["precision"], stage["conditions"]
    shutil.copytree(source, tmp_path / "older")
    (tmp_path / "older/result.json").write_text(json.dumps(old))
    (tmp_path / "older/manifest.json").unlink(missing_ok=True)
    older = spec.override({"representation.from": str(tmp_path / "older")})
    colaflex.run(older, tmp_path / "later", FP32)
    assert first(tmp_path / "later") == (True, "bf16")
