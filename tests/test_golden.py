"""Golden specs keep their digests, so that runs, studies and boards of before are still theirs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from colaflex.host.registry import registry
from colaflex.spec import Spec

GOLDEN = Path(__file__).parent.parent / "benchmarks" / "golden"
KEPT = json.loads((GOLDEN / "golden.json").read_text())


@pytest.mark.parametrize("name", KEPT)
def test_digests_stay(name: str) -> None:
    kept = KEPT[name]
    spec = Spec.load(GOLDEN / "specs" / f"{name}.yaml")
    assert spec.digest(kept["data_digest"]) == kept["spec_digest"]
    if kept["stage1_digest"]:  # a baseline, and a run from scratch, has no stage 1
        assert spec.stage1_digest(kept["data_digest"]) == kept["stage1_digest"]


@pytest.mark.parametrize("kind", ["segmenter", "representation", "prior", "baseline"])
def test_every_component_has_a_golden_spec(kind: str) -> None:
    specs = [Spec.load(path) for path in (GOLDEN / "specs").glob("*.yaml")]
    used = {part.type for spec in specs if (part := getattr(spec, kind)) is not None}
    own = [plugin.components for plugin in registry().plugins if plugin.source.own]
    assert used == {each.name for parts in own for each in parts if each.kind == kind}
