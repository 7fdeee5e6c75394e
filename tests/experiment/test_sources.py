"""What a run takes from another one: never a representation other than it says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import colaflex
from colaflex.errors import UserError
from colaflex.experiment.prepared import prepare
from colaflex.experiment.run_options import RunOptions
from colaflex.experiment.stage_cache import weights_digest
from colaflex.spec import Spec

QUICK = {"evaluation.samples": 0, "evaluation.documents": 2}


def test_a_representation_that_was_trained_on_never_passes_as_that_of_stage_one(
    tiny: Path, tmp_path: Path, finished: Path
) -> None:
    spec, frozen, joint = Spec.load(tiny).override(QUICK), tmp_path / "frozen", finished
    still = colaflex.run(spec.override({"training.regime": "frozen"}), frozen)
    moved = json.loads((joint / "result.json").read_text())
    assert still["stage1_digest"] == moved["stage1_digest"]
    assert still["representation_digest"] != moved["representation_digest"]
    for folder, result in ((frozen, still), (joint, moved)):
        assert weights_digest(colaflex.load(folder).model) == result["representation_digest"]
    one, other = (spec.override({"representation.from": str(run)}) for run in (frozen, joint))
    assert one.digest("d") != other.digest("d")
    assert one.stage1_digest("d") != other.stage1_digest("d") != spec.stage1_digest("d")

    def begin(teacher: Path, source: Path | None = None) -> None:
        taught = spec.override({"prior": "rectified_flow", "prior.teacher": str(teacher)})
        if source is not None:
            taught = taught.override({"representation.from": str(source)})
        prepare(taught, tmp_path / "out", RunOptions())

    begin(frozen)
    begin(frozen, source=frozen)
    begin(joint, source=joint)
    for teacher, source in ((joint, None), (joint, frozen), (frozen, joint)):
        with pytest.raises(UserError, match="latents of another representation; take that one"):
            begin(teacher, source)


def test_a_run_whose_last_checkpoint_is_damaged_hands_nothing_over(
    tiny: Path, tmp_path: Path, finished: Path
) -> None:
    source = tmp_path / "source"
    shutil.copytree(finished, source)
    (max((source / "checkpoints").glob("prior-*")) / "model.safetensors").write_bytes(b"")
    spec = Spec.load(tiny).override({"representation.from": str(source)})
    with pytest.raises(UserError, match=r"0 bytes, expected \d+ .*weights of this run"):
        colaflex.run(spec, tmp_path / "out")
