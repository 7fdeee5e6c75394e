"""A run that was stopped ends as if it never had been, whatever became of the cache meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import colaflex
from colaflex.errors import UserError
from colaflex.experiment.experiment import RunOptions
from colaflex.experiment.folder import RunFolder
from colaflex.latent.model import LatentModel
from colaflex.spec import Spec
from colaflex.training.watcher import Watcher

QUICK = {"evaluation.samples": 0, "evaluation.documents": 2}
RESUME = RunOptions(resume=True, quiet=True)


class Crash(Exception):
    """Stands for a kill at a chosen step."""


class CrashAt(Watcher):
    """Crashes once a stage has done so many steps."""

    def __init__(self, stage: str, step: int) -> None:
        self._wanted = stage, step

    def begin(self, stage: str, done: int, total: int) -> None:
        self._stage = stage

    def advance(self, done: int) -> None:
        if (self._stage, done) == self._wanted:
            raise Crash


class Traced(Watcher):
    """Remembers from which step each stage went on."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, int]] = []

    def begin(self, stage: str, done: int, total: int) -> None:
        self.begun.append((stage, done))


def final(folder: Path) -> tuple[Any, ...]:
    """What must be equal: all weights, the metrics but for times, and what training took."""
    newest = sorted((folder / "checkpoints").iterdir())[-1]
    timed = ("seconds", "tokens_per_second")
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    records = [{k: v for k, v in record.items() if k not in timed} for record in records]
    result = json.loads((folder / "result.json").read_text())
    stages = [(s["name"], s["steps"], s["flops"]) for s in result["training"]["stages"]]
    metrics = {k: v for k, v in result["metrics"].items() if not k.startswith("speed.")}
    return (newest / "model.safetensors").read_bytes(), stages, metrics, records


def reused(folder: Path) -> bool:
    result = json.loads((folder / "result.json").read_text())
    return bool(result["training"]["stages"][0]["reused"])


class Lab:
    """Runs of one spec, each with a cache of its own."""

    def __init__(self, spec: Spec, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.spec, self.path, self._patch = spec, path, monkeypatch
        self.use("first")
        colaflex.run(spec, path / "whole")

    def use(self, cache: str) -> None:
        """Take a cache that knows the data, but no stage 1 unless it was used before."""
        place = self.path / "caches" / cache
        if not place.exists() and cache != "first":
            shutil.copytree(self.path / "caches/first", place)
            shutil.rmtree(place / "stage1")
        self._patch.setenv("COLAFLEX_CACHE", str(place))

    def crash(self, stage: str, step: int) -> None:
        """Start the run `cut`, or go on with it, up to a crash."""
        with pytest.raises(Crash):
            colaflex.run(self.spec, self.path / "cut", RESUME, CrashAt(stage, step))

    def resume(self) -> list[tuple[str, int]]:
        """Go on with the run `cut` to its end; the stages that were trained, and from where."""
        traced = Traced()
        colaflex.run(self.spec, self.path / "cut", RESUME, traced)
        return traced.begun

    @property
    def same(self) -> bool:
        """Whether `cut` has ended as `whole` did."""
        return final(self.path / "cut")[:3] == final(self.path / "whole")[:3]


@pytest.fixture
def lab(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    return Lab(Spec.load(tiny).override(QUICK), tmp_path, monkeypatch)


def test_a_cache_that_another_run_fills_changes_nothing_of_a_run_that_has_begun(lab: Lab) -> None:
    lab.use("shared")
    lab.crash("representation", 2)  # before its first checkpoint
    colaflex.run(lab.spec.override({"prior": "rectified_flow"}), lab.path / "other")
    assert lab.resume() == [("representation", 0), ("prior", 0)]
    assert lab.same and not reused(lab.path / "cut")
    assert final(lab.path / "cut") == final(lab.path / "whole")


def test_a_run_that_has_filled_the_cache_itself_still_says_trained(lab: Lab) -> None:
    lab.use("own")
    lab.crash("representation", 5)
    lab.crash("prior", 1)
    assert lab.resume() == [("prior", 0)]
    assert lab.same and not reused(lab.path / "cut")
    assert final(lab.path / "cut") == final(lab.path / "whole")


@pytest.mark.parametrize(("step", "begun"), [(5, [("prior", 3)]), (1, [("prior", 0)])])
def test_a_reused_stage_1_counts_after_a_crash(
    lab: Lab, step: int, begun: list[tuple[str, int]]
) -> None:
    lab.crash("prior", step)
    assert lab.resume() == begun
    assert lab.same and reused(lab.path / "cut")


@pytest.mark.parametrize(
    ("step", "begun", "says"),
    [(5, [("prior", 3)], True), (1, [("representation", 0), ("prior", 0)], False)],
)
def test_a_cache_that_is_gone_costs_time_but_no_result(
    lab: Lab, step: int, begun: list[tuple[str, int]], says: bool
) -> None:
    lab.crash("prior", step)
    lab.use("another")
    assert lab.resume() == begun
    assert lab.same and reused(lab.path / "cut") == says


def test_a_crash_while_the_decoder_is_adapted_changes_nothing(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapted = {
        "training.stages.adapt_decoder": {"steps": 5, "ema_decay": 0.5},
        "training.stages.prior": {"steps": 2},
        "training.stages.representation": {"steps": 2},
    }
    lab = Lab(Spec.load(tiny).override({**QUICK, **adapted}), tmp_path, monkeypatch)
    lab.use("own")
    lab.crash("adapt_decoder", 4)
    assert lab.resume() == [("adapt_decoder", 3)]
    assert final(lab.path / "cut") == final(lab.path / "whole")
    model = colaflex.load(lab.path / "cut").model
    assert isinstance(model, LatentModel) and model.unadapted is not None
    decoder = {id(p) for p in model.representation.decoder_parameters()}
    kept = dict(model.unadapted.named_parameters())
    for name, learned in model.representation.named_parameters():
        assert torch.equal(learned, kept[name]) == (id(learned) not in decoder), name


def test_what_is_lacking_after_a_crash_at_the_end_is_made_up(
    unfinished: Path, finished: Path
) -> None:
    spec = Spec.load(unfinished / "spec.yaml")
    (unfinished / ".result.json.0123.tmp").write_text('{"half')
    result = colaflex.run(spec, unfinished, RESUME)
    assert final(unfinished)[0] == final(finished)[0]
    assert final(unfinished)[2:] == final(finished)[2:]
    assert {p.name for p in unfinished.iterdir()} == {p.name for p in finished.iterdir()}
    (unfinished / "report.html").unlink()
    before = (unfinished / "result.json").read_bytes()
    assert colaflex.run(spec, unfinished, RESUME) == result
    assert (unfinished / "report.html").exists()
    assert (unfinished / "result.json").read_bytes() == before


def test_a_folder_that_was_killed_at_its_birth_is_taken(tiny: Path, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    (folder.path / ".run.json.0123abcd.tmp").write_text('{"sch')
    with folder.held():
        identity = folder.claim({"spec_digest": "d"}, resume=False)
    assert identity == {"spec_digest": "d"}
    assert [path.name for path in folder.path.iterdir()] == ["run.json"]


def test_one_process_trains_in_a_folder_at_a_time(tiny: Path, tmp_path: Path) -> None:
    spec = Spec.load(tiny)
    with (
        RunFolder(tmp_path / "run").held(),
        pytest.raises(UserError, match="another process is training in this folder"),
    ):
        colaflex.run(spec, tmp_path / "run")
    assert list((tmp_path / "run").iterdir()) == []
    with RunFolder(tmp_path / "run").held():
        pass  # free again


@pytest.mark.parametrize(("prior", "kills"), [("flow_matching", 12), ("rectified_flow", 8)])
def test_killed_runs_end_bit_identically(
    prior: str, kills: int, tiny: Path, tmp_path: Path
) -> None:
    """SIGKILL at random moments of the command, and SIGINT in stage 1 and in the prior's."""
    script = Path(__file__).with_name("kill_command.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path), str(tiny), prior, str(kills)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout)
    assert report["kills"] >= kills
    assert report["runs"] >= 2
    assert report["differing"] == []
    assert report["interrupted"] == [130, 130]


def test_learned_segments_go_on_as_they_were(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned = {"type": "learned_boundary", "max_tokens": 4, "rate": 0.4}
    options = {**QUICK, "segmenter": learned, "representation.token_layers": 1}
    lab = Lab(Spec.load(tiny).override(options), tmp_path, monkeypatch)
    lab.use("own")
    lab.crash("representation", 4)
    assert lab.resume() == [("representation", 3), ("prior", 0)]
    assert lab.same
