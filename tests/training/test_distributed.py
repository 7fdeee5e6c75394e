"""Two processes equal one: DDP and FSDP2."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_model import records, train
from two_processes import CASES

from colaflex.training.distributed import Processes, gather, join_processes, local


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("processes")
    script = Path(__file__).with_name("two_processes.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(script), str(folder)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for name, settings in CASES.items():
        train(folder / "one" / name, settings, log_every=1)
    return folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(sorted((folder / "checkpoints").glob("prior-*"))[-1] / "model.safetensors")


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
@pytest.mark.parametrize("case", CASES)
def test_losses_equal_those_of_one_process(folder: Path, strategy: str, case: str) -> None:
    one, two = records(folder / "one" / case), records(folder / strategy / case)
    assert len(one) >= 12
    tolerance = 1e-5
    for a, b in zip(one, two, strict=True):
        assert a.pop("stage") == b.pop("stage")
        assert b == pytest.approx(a, rel=tolerance, abs=tolerance)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
@pytest.mark.parametrize(("case", "tolerance"), [("adamw", 2e-5), ("muon", 1e-5)])
def test_weights_equal_those_of_one_process(
    folder: Path, strategy: str, case: str, tolerance: float
) -> None:
    one, two = weights(folder / "one" / case), weights(folder / strategy / case)
    for name in one:
        assert torch.allclose(one[name], two[name], rtol=0, atol=tolerance), name


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_processes_stop_together_and_resume_exactly(folder: Path, strategy: str) -> None:
    whole, resumed = folder / strategy / "adamw", folder / strategy / "resumed"
    assert records(resumed) == records(whole)
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(resumed)[name]), name


def test_alone_nothing_is_communicated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert join_processes("cpu", "fsdp") == Processes(torch.device("cpu"))
    alone, value = Processes(), torch.tensor([2.0])
    assert alone.sum(value) is value
    assert alone.sum_counts([1, 2]) == [1, 2]
    assert gather(value).data_ptr() == local(value).data_ptr() == value.data_ptr()
