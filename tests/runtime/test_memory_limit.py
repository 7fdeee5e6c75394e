"""Models that are too large are refused before their memory is taken."""

from __future__ import annotations

import resource
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

import colaflex
from colaflex.errors import UserError
from colaflex.runtime.memory_limit import NoRoom, room_for
from colaflex.spec import Spec


def test_parameters_are_counted_while_they_are_registered() -> None:
    with room_for(4 * (10 * 10 + 10)):
        nn.Linear(10, 10)
    with pytest.raises(NoRoom), room_for(4 * (10 * 10 + 10) - 1):
        nn.Linear(10, 10)
    nn.Linear(100, 100)  # nothing is counted any more


def test_a_model_without_memory_takes_none() -> None:
    with room_for(0), torch.device("meta"):
        nn.Linear(10, 10)


HUGE = {"prior.network.width": 16_384, "prior.network.layers": 64}


@pytest.mark.timeout(60)
def test_a_model_that_can_not_be_trained_here_is_refused(tiny: Path, tmp_path: Path) -> None:
    spec = Spec.load(tiny).override({**HUGE, "prior.network.heads": 64})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match=r"too large.* GiB of memory"):
        colaflex.run(spec, tmp_path / "run")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 << 20
    assert not (tmp_path / "run").exists()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("width", [1_024, 16_384])
def test_a_spec_of_a_larger_model_than_the_checkpoint_is_refused_before_it_is_built(
    finished: Path, tmp_path: Path, width: int
) -> None:
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    (run / "manifest.json").unlink()
    spec = Spec.load(run / "spec.yaml").override(
        {"prior.network.width": width, "prior.network.layers": 64, "prior.network.heads": 64}
    )
    (run / "spec.yaml").write_text(spec.to_yaml())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match="is of another model"):
        colaflex.load(run)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < (1 << 20)  # KiB: 1 GiB
