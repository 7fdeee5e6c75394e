"""A run whose folder is moved while it runs goes on in it; one whose folder is gone says so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import colaflex
from colaflex.errors import RunFailure
from colaflex.experiment.experiment import Experiment
from colaflex.experiment.prepared import prepare
from colaflex.experiment.run_options import RunOptions
from colaflex.spec import Spec
from colaflex.training.watcher import Watcher

QUICK = {"evaluation.samples": 2, "evaluation.documents": 2, "evaluation.sweep_guidance": []}


class Doing(Watcher):
    """Does something once, at a place of the run."""

    def __init__(self, at: tuple[str, int], do: Callable[[], object]) -> None:
        self._at, self._do, self._stage = at, do, ""

    def begin(self, stage: str, done: int, total: int) -> None:
        self._stage = stage

    def advance(self, done: int) -> None:
        self._now(self._stage, done)

    def count(self, what: str, done: int, total: int, unit: str) -> None:
        self._now(what, done)

    def _now(self, stage: str, done: int) -> None:
        if (stage, done) == self._at:
            self._at = ("", -1)
            self._do()


def files(folder: Path) -> dict[str, Any]:
    """Weights by checkpoint, and the metrics but for times."""
    found: dict[str, Any] = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in (folder / "checkpoints").rglob("model.safetensors")
    }
    metrics = json.loads((folder / "result.json").read_text())["metrics"]
    found["metrics"] = {k: v for k, v in metrics.items() if not k.startswith("speed.")}
    found["names"] = sorted(path.name for path in folder.iterdir())
    found["lines"] = len((folder / "metrics.jsonl").read_text().splitlines())
    return found


@pytest.fixture
def spec(tiny: Path) -> Spec:
    return Spec.load(tiny).override(QUICK)


@pytest.mark.parametrize(
    "at",
    [("representation", 2), ("prior", 1), ("prior", 8), ("evaluation: samples", 2)],
)
def test_it_is_followed(
    at: tuple[str, int],
    spec: Spec,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Each run trains its stage 1 itself.
    monkeypatch.setenv("COLAFLEX_CACHE", str(tmp_path / "cache"))
    colaflex.run(spec, tmp_path / "whole")
    monkeypatch.setenv("COLAFLEX_CACHE", str(tmp_path / "another cache"))
    old, new = tmp_path / "here/run", tmp_path / "there"

    def move() -> None:
        old.parent.rename(new)
        old.mkdir(parents=True)  # somebody else's, at the same place
        (old / "mine.txt").write_text("mine")

    experiment = Experiment(prepare(spec, old, RunOptions()), [Doing(at, move)])
    experiment.run()
    assert experiment.folder.path == new / "run"
    assert [path.name for path in old.iterdir()] == ["mine.txt"]
    assert files(new / "run") == files(tmp_path / "whole")
    assert f"{old}: this run folder is {new / 'run'} now" in caplog.text
    colaflex.load(new / "run").generate([""])


def test_the_command_names_the_new_place(
    colaflex_command: Callable[..., Any],
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moving = Doing(("prior", 2), lambda: (tmp_path / "a").rename(tmp_path / "b"))
    monkeypatch.setattr("colaflex.training.progress.progress_on", lambda: moving)
    done = colaflex_command("run", tiny, "--out", tmp_path / "a", "--set", "evaluation.samples=0")
    assert done.code == 0 and f"results: {tmp_path / 'b'}, report: " in done.err
    assert not (tmp_path / "a").exists()


def test_a_copy_goes_on_where_the_original_is_gone(spec: Spec, tmp_path: Path) -> None:
    colaflex.run(spec, tmp_path / "whole")
    old, new = tmp_path / "old", tmp_path / "new"

    def move() -> None:  # as to another disk
        shutil.copytree(old, new)
        shutil.rmtree(old)

    with pytest.raises(RunFailure, match=r"old: this run folder is gone.* --resume goes on there"):
        Experiment(prepare(spec, old, RunOptions()), [Doing(("prior", 4), move)]).run()
    assert not old.exists()
    colaflex.run(spec, new, RunOptions(resume=True))
    assert files(new) == files(tmp_path / "whole")


def test_a_folder_that_is_deleted_is_not_made_again(
    spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLAFLEX_CACHE", str(tmp_path / "cache"))
    for at in (("representation", 1), ("evaluation: reconstruction", 2)):
        gone = Doing(at, lambda: shutil.rmtree(tmp_path / "run"))
        with pytest.raises(RunFailure, match="this run folder is gone"):
            Experiment(prepare(spec, tmp_path / "run", RunOptions()), [gone]).run()
        assert not (tmp_path / "run").exists()
