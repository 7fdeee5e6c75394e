"""Muon against closed forms: the singular values' polynomial, and torch's own Muon in bf16."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from colaflex.training.muon import Muon, orthogonalised

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
SHAPES = [(12, 20), (20, 12), (7, 7), (1, 9), (9, 1), (64, 192)]


def by_svd(matrix: torch.Tensor, steps: int) -> torch.Tensor:
    """The same odd polynomial, of the singular values in double precision."""
    left, values, right = torch.linalg.svd(matrix.double(), full_matrices=False)
    values = values / values.square().sum().sqrt()
    a, b, c = COEFFICIENTS
    for _ in range(steps):
        values = a * values + b * values**3 + c * values**5
    return (left * values) @ right


@pytest.mark.parametrize("shape", SHAPES)
def test_orthogonalises_as_the_singular_values_say(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape) * 37.0
    found = orthogonalised(matrix, COEFFICIENTS, 5, 1e-7)
    # fp32 keeps 1e-7 of the largest value; the iteration raises what is small by up to a^5 = 485.
    torch.testing.assert_close(found.double(), by_svd(matrix, 5), rtol=0, atol=1e-5)


def test_is_near_the_polar_factor() -> None:
    torch.manual_seed(1)
    matrix = torch.randn(40, 12)  # its singular values lie within a factor of 4
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    found = orthogonalised(matrix, COEFFICIENTS, 5, 1e-7)
    values = torch.linalg.svdvals(found)
    assert 0.65 < float(values.min()) <= float(values.max()) < 1.25
    assert torch.linalg.matrix_norm(found - left @ right, 2) < 0.35


@pytest.mark.parametrize("matrix", [torch.zeros(3, 5), torch.full((4, 4), 1e-30)])
def test_what_is_almost_nothing_stays_so(matrix: torch.Tensor) -> None:
    assert orthogonalised(matrix, COEFFICIENTS, 5, 1e-7).abs().max() < 1e-6


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_steps_as_the_muon_of_torch(dtype: torch.dtype) -> None:
    """To the bit where it multiplies in bf16 as torch's does, else within what bf16 loses."""
    torch.manual_seed(0)
    ours = [torch.nn.Parameter(torch.randn(shape)) for shape in SHAPES]
    theirs = [torch.nn.Parameter(p.detach().clone()) for p in ours]
    start = [p.detach().clone() for p in ours]
    mine = Muon(ours, dtype, lr=0.01)
    other = torch.optim.Muon(theirs, lr=0.01, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        for one, two in zip(ours, theirs, strict=True):
            one.grad = torch.randn(one.shape)
            two.grad = one.grad.clone()
        mine.step()
        other.step()
    for one, two, before in zip(ours, theirs, start, strict=True):
        if dtype == torch.bfloat16:
            assert torch.equal(one, two)
        else:
            assert (one - two).norm() < 0.05 * (one - before).norm()


def test_keeps_the_precision_of_double() -> None:
    parameter = torch.nn.Parameter(torch.eye(3, 4, dtype=torch.float64))
    muon = Muon([parameter], torch.float32, lr=0.01, weight_decay=0.0)
    parameter.grad = torch.eye(3, 4, dtype=torch.float64)
    muon.step()
    assert parameter.dtype == torch.float64
    # f^5(1 / sqrt 3) on the diagonal, times 0.2 sqrt(4) of the learning rate
    value = 1 - 0.01 * 0.4 * float(by_svd(torch.eye(3, 4), 5)[0, 0])
    torch.testing.assert_close(
        parameter.detach(), torch.eye(3, 4, dtype=torch.float64) * value, atol=1e-7, rtol=0
    )


CHOICE = """
import torch
from colaflex.experiment.settings import chosen_precision
from colaflex.training.hardware import native_bf16
print(native_bf16("cpu"), chosen_precision("auto", "cpu"), chosen_precision("bf16", "cpu"))
"""


@pytest.mark.parametrize(
    "limits",
    [
        {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
        {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
        {"DNNL_MAX_CPU_ISA": "avx2_vnni"},
        {"ATEN_CPU_CAPABILITY": "default"},
    ],
    ids=str,
)
def test_bf16_is_not_native_where_the_process_may_not_use_it(limits: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHOICE],
        env={**os.environ, **limits},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["False", "fp32", "bf16"]
