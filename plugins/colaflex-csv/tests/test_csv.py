from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

import colaflex
from colaflex.host.registry import registry

pytest.importorskip("colaflex_csv")

SPEC = {
    "name": "tables",
    "corpus": {
        "type": "worlds",
        "documents": 120,
        "validation_documents": 12,
        "test_documents": 12,
    },
    "tokenizer": {"vocab_size": 300},
    "representation": {"latent_dim": 4, "width": 16, "heads": 2, "embedding_dim": 8},
    "prior": {
        "block_size": 4,
        "network": {"width": 16, "layers": 1, "heads": 2, "time_width": 8},
    },
    "training": {
        "batch_size": 4,
        "max_tokens": 64,
        "steps": 12,
        "log_every": 2,
        "checkpoint_every": 3,
    },
    "sampling": {"max_new_tokens": 16, "steps": 2},
    "evaluation": {
        "samples": 4,
        "documents": 8,
        "sweep_steps": [1],
        "sweep_guidance": [1],
        "sweep_samples": 2,
        "bootstrap": 100,
        "judge": {"enabled": False},
    },
}


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_leaves_its_tables(tmp_path: Path) -> None:
    found = [p.status for p in registry().plugins if p.source.distribution == "colaflex-csv"]
    assert found == ["ready"], "pip install -e plugins/colaflex-csv"
    folder = tmp_path / "run"
    colaflex.run(colaflex.Spec.parse(SPEC), out=folder)
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    steps = table(folder / "tables/steps.csv")
    assert {(row["step"], row["stage"]) for row in steps} == {
        (str(record["step"]), record["stage"]) for record in records
    }
    assert len(steps) == sum(len(record) - 2 for record in records)
    metrics = json.loads((folder / "result.json").read_text())["metrics"]
    result = table(folder / "tables/result.csv")
    assert [row["name"] for row in result] == list(metrics)
    for row in result:
        value = metrics[row["name"]]["value"]
        assert row["value"] == ("" if value is None else str(value))
