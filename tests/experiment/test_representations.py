"""Every representation in a whole run: both stages, the cache, samples, the report, and back."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import colaflex

Command = Callable[..., Any]
SWAPS = {
    "text_ae": ("representation=text_ae", "sampling.reencode=true"),
    "resampler": ("representation=resampler", "segmenter.size=4"),
    "token_embedding": ("representation=token_embedding", "segmenter.size=1"),
    "text_vae": (
        "representation.free_bits=0.05",
        "representation.decoder_noise=0.3",
        "representation.latent_dropout=0.1",
    ),
}


def sets(name: str) -> list[str]:
    return [word for value in SWAPS[name] for word in ("--set", value)]


@pytest.mark.parametrize("name", SWAPS)
def test_one_word_in_a_spec_runs_it_from_text_to_report(
    name: str, tiny: Path, tmp_path: Path, colaflex_command: Command
) -> None:
    done = colaflex_command("run", tiny, "--out", tmp_path / "run", "--json", *sets(name))
    assert done.code == 0, done.err
    assert done.json["components"]["representation"]["name"] == name
    metrics = done.json["metrics"]
    assert all(math.isfinite(row["value"]) for row in metrics.values())
    assert {"reconstruction.token_accuracy", "generation.oracle_latents.valid_sentences"} <= set(
        metrics
    )
    records = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").open()]
    assert all("loss.realisation" in record for record in records)
    assert any("loss.rate" in record for record in records) == (name == "text_vae")
    page = (tmp_path / "run/report.html").read_text()
    assert name in page and page.count("<svg") >= 2
    model = colaflex.load(tmp_path / "run")
    one, other = (model.generate(["The", ""], max_new_tokens=7, seed=1) for _ in range(2))
    assert one == other


def test_another_prior_takes_the_representation_from_the_cache(
    tiny: Path, tmp_path: Path, colaflex_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLAFLEX_CACHE", str(tmp_path / "cache"))
    quick = [*sets("text_ae"), "--set", "evaluation.samples=0", "--set", "evaluation.documents=2"]
    first = colaflex_command("run", tiny, "--out", tmp_path / "a", "--json", *quick)
    assert "representation: text_vae -> text_ae" in first.err
    assert "  kept      latent_dim=4, width=16" in first.err
    swap = ["--set", "prior=rectified_flow"]
    second = colaflex_command("run", tiny, "--out", tmp_path / "b", "--json", *quick, *swap)
    assert second.code == 0, second.err
    reused = [run.json["training"]["stages"][0]["reused"] for run in (first, second)]
    assert reused == [False, True]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("representation=token_embedding",), "the representation token_embedding has one latent"),
        (
            ("representation=text_ae", "training.weights.reference_kl=0.1"),
            "training.weights.reference_kl: the latents of text_ae are points without a density",
        ),
        (
            ("representation=text_ae", "training.gradient_gate.start=1"),
            "leave it closed, for the latents of text_ae have no density",
        ),
        (("representation=text_ae", "representation.log_snr=1"), "representation.log_snr: unknown"),
        (
            ("representation.log_snr=1", "representation.free_bits=1"),
            "free_bits needs a learned log_snr",
        ),
    ],
)
def test_what_has_no_meaning_is_refused_before_training(
    change: tuple[str, ...], told: str, tiny: Path, tmp_path: Path, colaflex_command: Command
) -> None:
    words = [word for value in change for word in ("--set", value)]
    done = colaflex_command("run", tiny, "--out", tmp_path / "run", *words)
    assert done.code == 2
    assert told in done.err and "Traceback" not in done.err
    assert not (tmp_path / "run").exists()
