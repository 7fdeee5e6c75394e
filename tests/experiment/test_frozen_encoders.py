"""Representations over frozen encoders in whole runs: text to report, resume, reuse, and back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import colaflex
from colaflex.corpora.worlds import Worlds
from colaflex.corpora.worlds_process import WorldsConfig

pytest.importorskip("transformers", reason="needs pip install 'colaflex[hf]'")

Command = Callable[..., Any]
NAMES = ("frozen_bert", "frozen_t5")
SPEC = """
name: frozen
corpus: {type: worlds, documents: 120, validation_documents: 12, test_documents: 12}
segmenter: {type: fixed_patch, size: 3}
representation:
  {type: NAME, encoder: FOLDER, latent_dim: 4, width: 16, decoder_layers: 1, heads: 2,
   embedding_dim: 8, block_size: 2, context: 2}
prior:
  type: flow_matching
  block_size: 4
  network: {type: block_causal, width: 16, layers: 1, heads: 2, time_width: 8}
training:
  {regime: frozen, batch_size: 4, max_tokens: 48, steps: 10, log_every: 2, checkpoint_every: 2,
   keep_checkpoints: 50}
sampling: {max_new_tokens: 12, steps: 2, reencode: true}
evaluation:
  {samples: 2, documents: 4, sweep_steps: [], sweep_guidance: [], bootstrap: 100}
"""


@pytest.fixture(scope="module", params=NAMES)
def spec(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spec over an encoder whose tokenizer knows the corpus."""
    from colaflex.representations import small_encoders

    folder = tmp_path_factory.mktemp(request.param)
    texts = [d.text for d in Worlds(WorldsConfig(documents=60)).documents()]
    make = getattr(small_encoders, request.param.replace("frozen", "small"))
    make(folder / "encoder", texts)
    path: Path = folder / "frozen.yaml"
    path.write_text(SPEC.replace("NAME", request.param).replace("FOLDER", str(folder / "encoder")))
    return path


def test_from_text_to_report_and_back(
    spec: Path, tmp_path: Path, colaflex_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLAFLEX_CACHE", str(tmp_path / "cache"))
    done = colaflex_command("run", spec, "--out", tmp_path / "run", "--json")
    assert done.code == 0, done.err
    assert done.json["components"]["representation"]["name"] in NAMES
    records = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").open()]
    assert all("loss.hidden" in r for r in records if r["stage"] == "representation")
    saved = (tmp_path / "run/tokenizer.json").read_text()
    assert "[SEP]" in saved or "</s>" in saved
    model = colaflex.load(tmp_path / "run")
    one, other = (model.generate(["The", ""], max_new_tokens=7, seed=1) for _ in range(2))
    assert one == other

    # Resumed from a checkpoint within stage 1, it ends at the same weights.
    again = tmp_path / "again"
    shutil.copytree(tmp_path / "run", again)
    (again / "result.json").unlink()
    for checkpoint in (again / "checkpoints").iterdir():
        if checkpoint.name != min(p.name for p in (tmp_path / "run/checkpoints").glob("repr*")):
            shutil.rmtree(checkpoint)
    resumed = colaflex_command("run", spec, "--out", again, "--resume", "--json")
    assert resumed.code == 0, resumed.err
    assert resumed.json["representation_digest"] == done.json["representation_digest"]

    # Another prior takes the representation, statistics included, from the cache.
    swapped = colaflex_command(
        "run", spec, "--out", tmp_path / "swapped", "--json", "--set", "prior=gaussian"
    )
    assert swapped.code == 0, swapped.err
    assert swapped.json["training"]["stages"][0]["reused"] is True
    assert swapped.json["representation_digest"] == done.json["representation_digest"]


def test_a_tokenizer_beside_it_is_refused(
    spec: Path, tmp_path: Path, colaflex_command: Command
) -> None:
    done = colaflex_command(
        "run", spec, "--out", tmp_path / "run", "--set", "tokenizer.vocab_size=300"
    )
    assert done.code == 2 and "brings its own tokenizer" in done.err
