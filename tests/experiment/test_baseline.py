"""A baseline, which has no latents, goes through all that a latent model does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from colaflex.cli.new_plugin import PackageNames, render

NAME = "colaflex-test-baseline"
SET = ("training.steps=6", "evaluation.sweep_guidance=[2]", "evaluation.sweep_temperature=[0.7]")


@pytest.fixture
def spec(site: Any, tmp_path: Path) -> Path:
    """A spec of the template's baseline, which is installed."""
    files = render(PackageNames.of(NAME), "baseline")
    package = "colaflex_test_baseline"
    site.add(
        NAME,
        {name: text for name, text in files.items() if name.startswith(package)},
        f"[colaflex]\ntest_baseline = {package}.hooks\n",
    )
    path = tmp_path / "spec.yaml"
    path.write_text(files["spec.yaml"])
    return path


def test_run_evaluate_generate_resume_and_compare(site: Any, spec: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run = ["run", str(spec), "--out", str(out), *(f"--set={item}" for item in SET)]
    calls = [
        [*run, "--dry-run", "--json"],
        [*run, "--json"],
        [*run, "--resume", "--json"],
        ["evaluate", str(out), "--json"],
        ["generate", str(out), "--prompt", "The", "--guidance", "2", "--json"],
        ["compare", str(out), str(out), "--json"],
    ]
    code = (
        "from colaflex.cli.main import main\n"
        f"for call in {calls!r}:\n"
        "    print('@@')\n"
        "    assert main(call) == 0, call\n"
    )
    done = site.python("-c", code, COLAFLEX_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 0, done.stderr
    planned, result, again, evaluated, texts, compared = map(
        json.loads, done.stdout.split("@@\n")[1:]
    )
    assert planned["parameters"] == result["parameters"]
    assert again == result
    assert result["likelihood"] == "exact"
    assert list(result["components"]) == ["corpus", "baseline"]
    metrics = result["metrics"]
    assert {"likelihood.bits_per_byte", "likelihood.excess_nats"} <= set(metrics)
    assert "generation.at_temperature.0.7.valid_sentences" in metrics
    # Neither steps nor guidance does anything, there are no latents, and nothing is known of costs.
    absent = ("at_steps", "at_guidance", "oracle_latents", "reconstruction", "network_evaluations")
    assert not [name for name in metrics if any(word in name for word in absent)]
    assert done.stderr.count("of which this model takes no notice") == 4  # of two evaluations
    for name, found in evaluated["metrics"].items():
        assert name.startswith("speed.") or found == metrics[name], name
    assert [row["finish"] for row in texts] == ["length"] or texts[0]["finish"] == "end"
    assert {row["metric"] for row in compared["metrics"]} == set(metrics)
    page = (out / "report.html").read_text()
    assert "Likelihood (exact)" in page and "Over <bdi>temperature</bdi>" in page
    assert "Reconstruction" not in page and "Geometry" not in page
    items = json.loads((out / "items.json").read_text())
    assert "generation.coherent_documents" in items and "likelihood.bits_per_byte" in items
