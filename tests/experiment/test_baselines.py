"""A baseline goes all the way that latent models go: the same commands, folder and report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import colaflex
from colaflex.errors import UserError
from colaflex.experiment.experiment import RunOptions
from colaflex.files.problems import SpecError
from colaflex.spec import Spec

Command = Callable[..., Any]

SPEC = """
name: plain
corpus:
  type: worlds
  documents: 150
  validation_documents: 12
  test_documents: 12
  judge_documents: 12
tokenizer: {vocab_size: 300}
baseline: {type: autoregressive, width: 16, layers: 1, heads: 2}
training:
  max_tokens: 64
  log_every: 2
  checkpoint_every: 2
  stages: {baseline: {steps: 4, batch_size: 4, max_tokens: 48}}
sampling: {temperature: 1, max_new_tokens: 12}
evaluation:
  samples: 4
  documents: 6
  sweep_samples: 2
  bootstrap: 100
  judge: {enabled: false}
"""


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The spec of a small baseline."""
    path = tmp_path_factory.mktemp("baseline") / "plain.yaml"
    path.write_text(SPEC)
    return path


@pytest.fixture(scope="module")
def run(plain: Path) -> Path:
    """The folder of its run, which tests leave as it is."""
    folder = plain.parent / "run"
    colaflex.run(Spec.load(plain), folder)
    return folder


def result(folder: Path) -> Any:
    return json.loads((folder / "result.json").read_text())


def newest(folder: Path) -> Path:
    return max((folder / "checkpoints").iterdir(), key=lambda path: path.name)


def test_the_result_has_one_stage_and_no_latents(run: Path) -> None:
    found = result(run)
    assert found["status"] == "complete"
    assert set(found["components"]) == {"corpus", "baseline"}
    assert set(found["parameters"]) == {"embedding", "trunk", "total"}
    (stage,) = found["training"]["stages"]
    assert (stage["name"], stage["steps"], stage["reused"]) == ("baseline", 4, False)
    assert stage["flops"] > 0
    assert found["stage1_digest"] == ""
    names = set(found["metrics"])
    assert {"generation.valid_sentences", "generation.real.valid_sentences"} <= names
    assert not [n for n in names if n.startswith(("reconstruction.", "elbo.", "geometry."))]
    assert not [n for n in names if ".at_steps." in n or ".at_guidance." in n]


def test_the_report_tells_of_a_baseline_and_of_nothing_that_it_lacks(run: Path) -> None:
    page = (run / "report.html").read_text()
    assert "a language model without latents" in page
    assert "Losses of stage" in page
    for absent in ("solver steps per block", "guidance g", "prior gap", "Reconstruction"):
        assert absent not in page, absent


def test_it_is_resumed_to_the_same_weights(
    colaflex_command: Command, plain: Path, run: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    shutil.rmtree(newest(folder))
    for name in ("samples.jsonl", "result.json", "report.html"):
        (folder / name).unlink()
    done = colaflex_command("run", plain, "--out", folder, "--resume", "--json")
    assert done.code == 0, done.err
    one, other = (load_file(newest(each) / "model.safetensors") for each in (run, folder))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert newest(run).name == newest(folder).name


def test_evaluate_measures_the_same_again(colaflex_command: Command, run: Path) -> None:
    done = colaflex_command("evaluate", run, "--json")
    assert done.code == 0, done.err
    own = result(run)["metrics"]
    again = {k: v for k, v in done.json["metrics"].items() if not k.startswith("speed.")}
    assert again == {k: v for k, v in own.items() if not k.startswith("speed.")}


def test_generate_and_stream_say_the_same(colaflex_command: Command, run: Path) -> None:
    prompts = ["--prompt", "", "--prompt", "Clara was", "--max-new-tokens", 9, "--seed", 2]
    done = colaflex_command("generate", run, *prompts, "--json")
    assert done.code == 0, done.err
    assert [row["prompt"] for row in done.json] == ["", "Clara was"]
    text = "".join(row["prompt"] + row["text"] for row in done.json[1:])
    streamed = colaflex_command("generate", run, *prompts[2:], "--stream")
    assert streamed.out == text + "\n"


def test_it_has_a_likelihood_and_no_latents(run: Path) -> None:
    model = colaflex.load(run)
    with torch.no_grad():
        found = model.log_prob(["Clara was there.", ""])
    assert found.shape == (2,) and bool((found < 0).all())
    with pytest.raises(UserError, match="it is a baseline"):
        model.encode(["Clara"])


def test_a_dry_run_counts_what_the_run_costs(
    colaflex_command: Command, plain: Path, run: Path
) -> None:
    done = colaflex_command("run", plain, "--dry-run", "--json")
    assert done.code == 0, done.err
    assert done.json["parameters"] == result(run)["parameters"]
    assert done.json["flops"] == result(run)["training"]["flops"]


def test_compare_sets_it_beside_a_latent_model(
    colaflex_command: Command, run: Path, finished: Path
) -> None:
    done = colaflex_command("compare", run, finished, "--json")
    assert done.code == 0, done.err
    assert {"baseline.width", "prior.type"} <= {row["key"] for row in done.json["specs"]}
    assert "generation.valid_sentences" in {row["metric"] for row in done.json["metrics"]}
    assert colaflex_command("compare", run, finished).code == 0


def test_precision_and_recomputation_are_respected(plain: Path, tmp_path: Path) -> None:
    """bf16 comes near fp32 in a step, recomputed layers give it to the bit."""
    quick = {"evaluation.samples": 0, "training.stages.baseline.steps": 1, "training.log_every": 1}
    losses = {}
    for name, precision, changes in (
        ("fp32", "fp32", {}),
        ("bf16", "bf16", {}),
        ("recomputed", "fp32", {"training.gradient_checkpointing": True}),
    ):
        spec = Spec.load(plain).override({**quick, **changes})
        colaflex.run(spec, tmp_path / name, RunOptions(precision=precision))
        line = (tmp_path / name / "metrics.jsonl").read_text().splitlines()[0]
        losses[name] = (json.loads(line)["loss"], json.loads(line)["gradient_norm"])
    assert losses["recomputed"] == losses["fp32"]
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.02)
    assert losses["bf16"] != losses["fp32"]


def test_a_guidance_that_it_has_no_use_for_is_refused() -> None:
    spec = {"corpus": "worlds", "baseline": "autoregressive"}
    with pytest.raises(SpecError, match="the baseline autoregressive can't be guided; set it to 1"):
        Spec.parse({**spec, "sampling": {"guidance": 2, "temperature": 1}})


def test_samples_that_would_be_all_the_same_are_warned_of() -> None:
    spec = Spec.parse({"corpus": "worlds", "baseline": "autoregressive"})
    (warning,) = spec.warnings
    assert "the baseline autoregressive takes the most probable tokens" in warning
    assert spec.override({"sampling.temperature": 1}).warnings == []
