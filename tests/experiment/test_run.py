"""The run folder, what a run reuses, and every regime end to end."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import colaflex
from colaflex.errors import UserError
from colaflex.experiment.folder import RunFolder
from colaflex.files.writing import cache_dir
from colaflex.spec import Spec

FILES = {
    "checkpoints",
    "environment.json",
    "manifest.json",
    "metrics.jsonl",
    "report.html",
    "result.json",
    "run.json",
    "samples.jsonl",
    "items.json",
    "spec.yaml",
    "tokenizer.json",
}
QUICK = {"evaluation.samples": 0, "evaluation.documents": 2}


def read(folder: Path, name: str = "result.json") -> Any:
    return json.loads((folder / name).read_text())


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """The model as it was after training."""
    found = {path: read(path, "manifest.json") for path in (folder / "checkpoints").iterdir()}
    newest = max(found, key=lambda path: (found[path]["stage_index"], found[path]["step"]))
    return load_file(newest / "model.safetensors")


def stage_one(folder: Path) -> dict[str, torch.Tensor]:
    """The part of the weights that stage 1 makes."""
    kept = ("representation.", "segmenter.", "shift", "scale")
    return {name: value for name, value in weights(folder).items() if name.startswith(kept)}


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, so that what is known beforehand is certain."""
    monkeypatch.setenv("COLAFLEX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


# The run folder.


def test_the_folder_holds_these_files_and_no_others(finished: Path) -> None:
    assert {path.name for path in finished.iterdir()} == FILES
    assert all(path.stat().st_mode & 0o044 for path in finished.iterdir())
    for checkpoint in (finished / "checkpoints").iterdir():
        assert {path.suffix for path in checkpoint.iterdir()} == {".json", ".safetensors"}


def test_the_result_has_the_keys_of_the_contract(finished: Path) -> None:
    result = read(finished)
    assert result.keys() >= {
        "schema",
        "name",
        "status",
        "spec_digest",
        "stage1_digest",
        "seed",
        "components",
        "likelihood",
        "parameters",
        "training",
        "metrics",
        "environment",
    }
    assert (result["schema"], result["name"], result["status"]) == (1, "tiny", "complete")
    assert result["components"]["prior"] == {
        "name": "flow_matching",
        "distribution": "colaflex",
        "version": colaflex.__version__,
        "component_version": "1",
    }
    assert "prior.network" in result["components"]
    parameters = result["parameters"]
    assert parameters["total"] == sum(v for k, v in parameters.items() if k != "total") > 0
    training = result["training"]
    assert [(s["name"], s["steps"]) for s in training["stages"]] == [
        ("representation", 6),
        ("prior", 9),
    ]
    for key in ("tokens", "steps", "flops", "seconds"):
        assert training[key] == pytest.approx(sum(stage[key] for stage in training["stages"]))
        assert training[key] > 0
    assert training["tokens_per_second"] == pytest.approx(training["tokens"] / training["seconds"])
    assert result["environment"] == read(finished, "environment.json")


def test_metrics_are_flat_and_finite(finished: Path) -> None:
    metrics = read(finished)["metrics"]
    for name, row in metrics.items():
        assert row.keys() == {"value", "low", "high", "n"}, name
        assert isinstance(row["n"], int) and math.isfinite(row["value"]), name
        for bound in (row["low"], row["high"]):
            assert bound is None or math.isfinite(bound), name
        if row["low"] is not None:
            assert row["low"] <= row["value"] + 1e-12 and row["value"] <= row["high"] + 1e-12, name
    assert {name.split(".")[0] for name in metrics} >= {"reconstruction", "generation", "speed"}
    for row in ("", "real.", "oracle_latents.", "unigram.", "bigram.", "trigram.", "shuffled."):
        assert f"generation.{row}valid_sentences" in metrics, row
    assert "generation.at_steps.1.valid_sentences" in metrics
    assert "generation.at_guidance.2.valid_sentences" in metrics
    assert metrics["speed.network_evaluations_per_block"]["value"] > 0


def test_samples_are_lines_of_json_from_every_row(finished: Path) -> None:
    samples = lines(finished / "samples.jsonl")
    assert {sample["source"] for sample in samples} == {
        "model",
        "real",
        "oracle_latents",
        "unigram",
        "bigram",
        "trigram",
    }
    for sample in samples:
        assert sample.keys() == {"source", "prompt", "text", "tokens", "finish"}
        assert sample["finish"] in ("end", "length") and len(sample["tokens"]) <= 40


def test_items_sum_to_their_metrics(finished: Path) -> None:
    metrics, items = read(finished)["metrics"], read(finished, "items.json")
    rows = ("", "real.", "oracle_latents.", "trigram.", "shuffled.", "at_steps.1.")
    assert items.keys() >= {f"generation.{row}coherent_documents" for row in rows}
    assert "reconstruction.token_accuracy" in items
    for name, found in items.items():
        assert found.keys() == {"values", "weights"}
        weights = found["weights"] or [1] * len(found["values"])
        assert sum(found["values"]) / sum(weights) == pytest.approx(
            metrics[name]["value"], rel=1e-4
        ), name
        assert metrics[name]["n"] == sum(weight > 0 for weight in weights), name


def test_metrics_jsonl_counts_on(finished: Path) -> None:
    records = lines(finished / "metrics.jsonl")
    assert [(r["stage"], r["step"]) for r in records] == [
        *(("representation", step) for step in (2, 4, 6)),
        *(("prior", step) for step in (2, 4, 6, 8, 9)),
    ]
    assert all(math.isfinite(v) for r in records for v in r.values() if not isinstance(v, str))


class _Parts(HTMLParser):
    """What a page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.drawn = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.drawn += tag == "svg"
        for name, value in attrs:
            outside = name in ("src", "srcset", "data") or (name == "href" and tag == "link")
            if outside and not str(value).startswith(("data:", "#")):
                self.fetched.append(f"{tag} {name}={value}")


def test_the_report_is_one_file_with_plots(finished: Path) -> None:
    page = (finished / "report.html").read_text()
    parts = _Parts()
    parts.feed(page)
    assert not parts.fetched
    assert parts.drawn >= 2
    assert "@import" not in page and "url(http" not in page


def test_the_saved_spec_is_the_same_experiment_and_names_distributions(
    finished: Path, tiny: Path
) -> None:
    saved = Spec.load(finished / "spec.yaml")
    data = read(finished, "run.json")["data_digest"]
    assert saved == Spec.load(tiny)
    assert saved.digest(data) == read(finished)["spec_digest"]
    assert "type: colaflex:flow_matching" in (finished / "spec.yaml").read_text()


# Stage 1: trained once, reused by whoever has the same.


def test_a_swapped_prior_keeps_the_very_same_representation(
    tiny: Path, tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = Spec.load(tiny).override({**QUICK, "training.regime": "frozen"})
    first = colaflex.run(spec, tmp_path / "flow")
    capsys.readouterr()
    second = colaflex.run(spec.override({"prior": "rectified_flow"}), tmp_path / "rectified")
    assert "stage 1: reused" in capsys.readouterr().err
    assert equal(stage_one(tmp_path / "flow"), stage_one(tmp_path / "rectified"))
    trained, reused = (result["training"]["stages"][0] for result in (first, second))
    assert (trained.pop("reused"), reused.pop("reused")) == (False, True)
    assert trained == reused
    assert second["training"]["flops"] == sum(s["flops"] for s in second["training"]["stages"])
    assert [s["name"] for s in second["training"]["stages"]] == [
        "representation",
        "teacher",
        "prior",
    ]
    assert first["stage1_digest"] == second["stage1_digest"]
    assert first["spec_digest"] != second["spec_digest"]
    # What does not depend on the prior is measured alike, to the last bit.
    for name, row in first["metrics"].items():
        if name.startswith("reconstruction."):
            assert second["metrics"][name] == row


def test_another_run_of_the_same_spec_ends_alike(tiny: Path, tmp_path: Path, cache: Path) -> None:
    spec = Spec.load(tiny).override(QUICK)
    one, two = (colaflex.run(spec, tmp_path / name) for name in ("one", "two"))
    assert equal(weights(tmp_path / "one"), weights(tmp_path / "two"))
    assert [one["training"]["stages"][0]["reused"], two["training"]["stages"][0]["reused"]] == [
        False,
        True,
    ]
    assert one["training"]["flops"] == two["training"]["flops"]


def test_a_representation_is_taken_from_a_run(tiny: Path, tmp_path: Path, finished: Path) -> None:
    spec = Spec.load(tiny).override(
        {**QUICK, "representation.from": str(finished), "training.regime": "frozen"}
    )
    result = colaflex.run(spec.override({"corpus.seed": 1}), tmp_path / "taken")
    assert equal(stage_one(finished), stage_one(tmp_path / "taken"))
    assert (finished / "tokenizer.json").read_text() == (
        tmp_path / "taken/tokenizer.json"
    ).read_text()
    first, theirs = result["training"]["stages"][0], read(finished)["training"]["stages"][0]
    assert first == {**theirs, "reused": True}
    # It was trained on, jointly with its prior, so that it is no longer what its stage 1 made.
    theirs = read(finished)
    assert result["stage1_digest"] == theirs["representation_digest"] != theirs["stage1_digest"]
    assert result["representation_digest"] == result["stage1_digest"]


@pytest.mark.parametrize("key", ["representation.from", "prior.teacher"])
def test_a_run_that_is_named_must_be_there_and_finished(
    tiny: Path, tmp_path: Path, unfinished: Path, key: str
) -> None:
    spec = Spec.load(tiny).override({"prior": "rectified_flow"})
    with pytest.raises(UserError, match=f"{key}: .*unfinished.* is not finished"):
        colaflex.run(spec.override({key: str(unfinished)}), tmp_path / "out")
    with pytest.raises(UserError, match=f"{key}: .*nowhere: there is no such run folder"):
        colaflex.run(spec.override({key: str(tmp_path / "nowhere")}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_can_be_the_teacher(tiny: Path, tmp_path: Path, finished: Path) -> None:
    # Relative to the file that names it, wherever one stands.
    written = tmp_path / "specs" / "taught.yaml"
    written.parent.mkdir()
    shutil.copytree(finished, tmp_path / "specs" / "teacher")
    written.write_text(
        f"extends: {tiny}\nprior: {{type: rectified_flow, teacher: teacher}}\n"
        "representation: {from: teacher}\n"
        "evaluation: {samples: 0, documents: 2}\n"
    )
    spec = Spec.load(written)
    result = colaflex.run(spec, tmp_path / "taught")
    teacher, taught = weights(finished), weights(tmp_path / "taught")
    for name, value in taught.items():
        if name.startswith("prior.teacher."):
            assert torch.equal(value, teacher[name.replace("prior.teacher.", "prior.")]), name
    assert [s["name"] for s in result["training"]["stages"]] == [
        "representation",
        "teacher",
        "prior",
    ]
    counted, theirs = result["training"]["stages"][1], read(finished)["training"]["stages"][1]
    assert counted == {**theirs, "name": "teacher", "reused": True}
    # The teacher counts by what it is, not by where it lies.
    elsewhere = spec.override({"prior.teacher": str(finished)})
    assert elsewhere.digest("data") == spec.digest("data")
    assert elsewhere.digest("data") != spec.override({"prior.teacher": "none"}).digest("data")
    colaflex.load(tmp_path / "taught").generate([""])


def test_a_teacher_of_another_representation_is_refused(
    tiny: Path, tmp_path: Path, finished: Path
) -> None:
    spec = Spec.load(tiny).override({"prior": "rectified_flow", "prior.teacher": str(finished)})
    # Its own, which it trained on, is another one than that of the stage 1 they share.
    for change in ({}, {"seed": 1}, {"training.regime": "scratch"}):
        with pytest.raises(UserError, match="latents of another representation"):
            colaflex.run(spec.override(change), tmp_path / "out")
    with pytest.raises(UserError, match="can't teach this prior: the teacher's block_size is 4"):
        colaflex.run(
            spec.override({"prior.block_size": 2, "representation.from": str(finished)}),
            tmp_path / "out",
        )


# Regimes and settings of training, each to its end.

REGIMES: dict[str, dict[str, Any]] = {
    "frozen": {
        "training.regime": "frozen",
        "training.optimizer": "muon",
        "training.lr_schedule": "wsd",
    },
    "interval": {
        "training.regime": "interval",
        "training.interval": {"joint_steps": 1, "frozen_steps": 2},
        "training.accumulate": 2,
        "training.ema_decay": 0.9,
    },
    "scratch": {"training.regime": "scratch", "training.gradient_checkpointing": True},
    "gated": {
        "training.gradient_gate": {"start": 0, "end": 1},
        "training.weights.reference_kl": 0.1,
        "training.representation_lr_ratio": 0.1,
    },
    "rectified": {"prior": "rectified_flow", "training.ema_decay": 0.5},
}


@pytest.mark.parametrize("name", REGIMES)
def test_every_regime_runs_to_its_end(
    name: str, tiny: Path, tmp_path: Path, finished: Path
) -> None:
    spec = Spec.load(tiny).override({**QUICK, "evaluation.samples": 2, **REGIMES[name]})
    result = colaflex.run(spec, tmp_path / name)
    assert result["status"] == "complete"
    assert result["training"]["steps"] == 15
    records = lines(tmp_path / name / "metrics.jsonl")
    assert all(math.isfinite(v) for r in records for v in r.values() if not isinstance(v, str))
    assert any("loss.reference_kl" in record for record in records) == (name == "gated")
    stages = [stage["name"] for stage in result["training"]["stages"]]
    assert ("representation" not in stages) == (name == "scratch")
    assert (result["stage1_digest"] == "") == (name == "scratch")
    made = colaflex.load(tmp_path / name).generate(["The"], max_new_tokens=4)
    assert len(made[0].tokens) <= 4


def test_a_start_by_flow_matching_is_marked_as_a_stage_of_its_own(
    tiny: Path, tmp_path: Path, finished: Path
) -> None:
    likelihood = {"type": "cnf", "warm_start": 0.5, "training_steps": 1, "likelihood_steps": 1}
    spec = Spec.load(tiny).override({**QUICK, "evaluation.samples": 2, "prior": likelihood})
    result = colaflex.run(spec, tmp_path / "cnf")
    stages = {stage["name"]: stage for stage in result["training"]["stages"]}
    assert list(stages) == ["representation", "warm_start", "prior"]
    assert stages["warm_start"]["steps"] > 0 and stages["prior"]["steps"] > 0
    records = lines(tmp_path / "cnf" / "metrics.jsonl")
    for stage, term in (("warm_start", "loss.flow"), ("prior", "loss.nll")):
        own = [r for r in records if r["stage"] == stage and term in r]
        assert own and all(math.isfinite(r[term]) for r in own)
    assert "warm_start" in (tmp_path / "cnf" / "report.html").read_text("utf-8")


def test_a_frozen_representation_stays_and_a_joint_one_moves(tiny: Path, tmp_path: Path) -> None:
    spec = Spec.load(tiny).override(QUICK)
    for regime in ("frozen", "joint"):
        colaflex.run(spec.override({"training.regime": regime}), tmp_path / regime)
    frozen, joint = stage_one(tmp_path / "frozen"), stage_one(tmp_path / "joint")
    assert torch.equal(frozen["shift"], joint["shift"])  # fitted once, at the end of stage 1
    assert not equal(frozen, joint)
    kept = RunFolder(tmp_path / "frozen").read("result.json")["stage1_digest"]
    cached = load_file(cache_dir() / "stage1" / f"{kept}.safetensors")
    assert equal(frozen, cached)


@pytest.mark.parametrize(("precision", "sentences"), [("bf16", 1), ("fp32", 0), ("auto", 0)])
def test_the_start_of_a_run_says_what_the_hardware_makes_slow(
    tiny: Path,
    tmp_path: Path,
    colaflex_command: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    precision: str,
    sentences: int,
) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    done = colaflex_command(
        "run", tiny, "--out", tmp_path / "a", "--precision", precision, "--device", "cpu",
        "--set", "evaluation.samples=0", "--set", "training.steps=2",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert done.err.count("warning: precision bf16 is slow here") == sentences


def test_compiling_without_a_compiler_is_refused(
    tiny: Path,
    tmp_path: Path,
    colaflex_command: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    done = colaflex_command("run", tiny, "--out", tmp_path / "a", "--set", "training.compile=true")
    assert done.code == 2
    assert "training.compile" in done.err and "there is no no-such-compiler here" in done.err
    assert not (tmp_path / "a").exists()


def test_bf16_is_a_setting_of_the_run(
    tiny: Path, tmp_path: Path, colaflex_command: Callable[..., Any]
) -> None:
    done = colaflex_command(
        "run", tiny, "--out", tmp_path / "a", "--precision", "bf16", "--json",
        "--set", "evaluation.samples=0", "--set", "training.regime=scratch",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert done.json["environment"]["precision"] == "bf16"
    assert {str(v.dtype) for v in weights(tmp_path / "a").values()} == {"torch.float32"}
