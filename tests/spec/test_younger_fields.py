"""Fields that are younger than their component: what was saved without them stays what it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from colaflex.files.yaml import write_yaml
from colaflex.host.registry import registry
from colaflex.spec import Spec

RECORDS = Path(__file__).parents[2] / "benchmarks" / "results"
YOUNGER = ("readout", "history")
BEFORE = {"readout": "linear", "history": "latents"}
PATHS = [
    name
    for name in registry().names("prior")
    if set(YOUNGER) <= set(registry().config_class("prior", name).model_fields)
]


def spec(prior: Any) -> Spec:
    return Spec.parse({"corpus": "bible", "prior": prior})


def saved(prior: Any, folder: Path) -> Path:
    """A run's spec as it was written before there were the fields."""
    full = spec(prior).resolved()
    full["prior"] = {key: value for key, value in full["prior"].items() if key not in YOUNGER}
    path = folder / "spec.yaml"
    path.write_text(write_yaml(full))
    return path


@pytest.mark.parametrize("name", PATHS)
def test_a_run_without_them_is_read_as_it_was_trained(name: str, tmp_path: Path) -> None:
    path, linear = saved(name, tmp_path), spec({"type": name, **BEFORE})
    old = Spec.of_run(path)
    assert (old.prior.readout, old.prior.history) == ("linear", "latents")
    assert old == linear
    assert old.digest() == linear.digest()


def test_what_is_made_of_such_a_run_stays_so(tmp_path: Path) -> None:
    path = saved("flow_matching", tmp_path)
    old = Spec.of_run(path, ["evaluation.samples=3"]).override({"seed": 4})
    assert (old.prior.readout, old.prior.history) == ("linear", "latents")
    assert (old.seed, old.evaluation.samples) == (4, 3)
    assert Spec.of_record(Spec.of_run(path).resolved()) == Spec.of_run(path)


def test_a_spec_without_them_goes_by_the_default(tmp_path: Path) -> None:
    written = Spec.load(saved("flow_matching", tmp_path))
    assert (written.prior.readout, written.prior.history) == ("auto", "auto")


@pytest.mark.parametrize("key", YOUNGER)
@pytest.mark.parametrize("name", PATHS)
def test_the_digest_tells_the_default_from_what_was_before(name: str, key: str) -> None:
    linear, one = spec({"type": name, **BEFORE}), spec({"type": name, **BEFORE, key: "auto"})
    assert linear.digest() != one.digest() != spec(name).digest()


def test_the_default_prior_is_told_from_what_it_was() -> None:
    bare = Spec.parse({"corpus": "bible"})
    assert bare.digest() == spec("flow_matching").digest()
    assert bare.digest() != spec(BEFORE).digest()


def test_a_default_changed_back_by_an_option_beside_it_says_so_alone() -> None:
    kept = spec({**BEFORE, "block_size": 4}).identifying()
    assert {key: value for key, value in kept.items() if key.startswith("prior.")} == {
        "prior.type": "colaflex:flow_matching",
        "prior.block_size": 4,
    }


@pytest.mark.parametrize("board", ["worlds", "bible"])
def test_records_from_before_keep_their_digest(board: str) -> None:
    path = next((RECORDS / board).glob("flow_matching-*-s0-*.json"))
    record = json.loads(path.read_text())
    assert not set(YOUNGER) & set(record["spec"]["prior"])
    assert Spec.of_record(record["spec"]).digest(record["data_digest"]) == record["spec_digest"]
