from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from colaflex.files.yaml import read_file
from colaflex.host.registry import registry
from colaflex.spec import Spec
from colaflex.spec.reference import reference
from colaflex.spec.schema import json_schema

SPECS = sorted((Path(__file__).parents[2] / "specs").glob("*.yaml"))


@pytest.fixture(scope="module")
def validator():
    schema = json_schema(registry())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.name)
def test_every_shipped_spec_fits_the_schema(validator: Draft202012Validator, path: Path):
    data = read_file(path).plain
    if "study" in data:
        pytest.skip("a study, not a spec")
    validator.validate(data)
    validator.validate(Spec.load(path).resolved())


@pytest.mark.parametrize(
    "data",
    [
        {"corpus": "bible"},
        {"corpus": {"type": "colaflex:bible", "verses": 3}, "prior": "colaflex:rectified_flow"},
        {"corpus": "bible", "prior": {"block_size": 3, "solver": {"type": "dopri5", "rtol": 0.1}}},
        {"extends": "a.yaml", "prior": {"teacher_steps": 3}},
        {"extends": ["a.yaml"], "representation": {"from": "runs/x"}},
        {"corpus": "bible", "training": {"stages": {"prior": {"learning_rate": 0.1}}}},
        {"corpus": "bible", "representation": {"log_snr": 1.5}, "baseline": None},
    ],
)
def test_what_is_right_fits(validator: Draft202012Validator, data: Any):
    validator.validate(data)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"corpus": "bibel"},
        {"corpus": "bible", "prior": "flow"},
        {"corpus": "bible", "prior": {"type": "flow_matching", "teacher_steps": 3}},
        {"corpus": "bible", "prior": {"solver": "flow_matching"}},
        {"corpus": "bible", "prior": {"block_size": 0}},
        {"corpus": "bible", "sede": 1},
        {"corpus": "bible", "baseline": "x"},
        {"corpus": "bible", "representation": {"log_snr": "lernd"}},
        {"corpus": "bible", "training": {"stages": {"prior": {"step": 3}}}},
    ],
)
def test_what_is_wrong_does_not(validator: Draft202012Validator, data: Any):
    assert not validator.is_valid(data)


def test_a_resolved_spec_fits(validator: Draft202012Validator):
    validator.validate(Spec.parse({"corpus": "bible", "prior": "rectified_flow"}).resolved())


def test_a_strangers_component_is_offered_and_documented_like_ours(menagerie: Any):
    validator = Draft202012Validator(json_schema(registry()))
    tiger = {"type": "tiger", "stripes": 2, "helpers": ["euler"], "lambda": 1, "mentor": "x"}
    validator.validate({"corpus": "bible", "prior": tiger})
    validator.validate({"corpus": "bible", "baseline": {"type": "parrot", "width": 3}})
    assert not validator.is_valid({"corpus": "bible", "prior": {**tiger, "strips": 1}})
    assert not validator.is_valid({"corpus": "bible", "prior": {**tiger, "helpers": ["flow"]}})
    assert "ghost" not in str(validator.schema)
    page = reference(registry())
    assert "### `prior: tiger`\n\nThe tiger.\n\nFrom colaflex-menagerie, version 7 of" in page
    assert "| `stripes` | an integer >= 0 | `3` | Stripes (count). |" in page
    assert "| `lambda` | a number | `0.5` | A weight. |" in page
    assert "### `by_name.NAME`" in page


def test_the_reference_has_every_section_and_component():
    page = reference(registry())
    kinds = ("segmenter", "representation", "prior", "network", "solver", "coupling", "corpus")
    for kind in (*kinds, "task", "scorer"):
        assert f"## Kind `{kind}`" in page
        for name in registry().names(kind):
            assert f"### `{kind}: {name}`" in page
    for section in ("training", "training.gradient_gate", "training.stages.NAME", "evaluation"):
        assert f"### `{section}`" in page
    assert "## Kind `metric`" not in page
    assert "It has no options." in page
    assert "one of `joint`, `frozen`, `interval`, `scratch`" in page


def test_nothing_here_imports_torch():
    code = (
        "import sys; from colaflex.host.registry import registry; from colaflex.spec import Spec; "
        "from colaflex.spec.reference import reference; reference(registry()); "
        "Spec.parse({'corpus': 'bible'}).digest(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
