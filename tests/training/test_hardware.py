"""What is said of the hardware: on a processor that is described, and on this one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from colaflex.training import hardware
from colaflex.training.hardware import native_bf16, slow_settings, usable_cores

FLAGS = "processor : 0\nflags\t\t: fpu avx2 avx512f avx512_bf16 amx_bf16\n"


@pytest.fixture(autouse=True)
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in hardware.ONEDNN_LIMITS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")


@pytest.mark.parametrize(
    ("flags", "limit", "native"),
    [
        (FLAGS, "", True),
        (FLAGS, "AVX512_CORE_BF16", True),
        (FLAGS, "AVX512_CORE_AMX", True),
        (FLAGS, "nonsense", True),  # oneDNN takes no notice of it
        (FLAGS, "AVX512_CORE", False),
        (FLAGS, "AVX2", False),
        ("flags : fpu avx2\nbugs : avx512_bf16_erratum\n", "", False),
        ("flags : fpu avx2 avx512f\nmodel name : amx_bf16\n", "", False),
        ("Features : fp asimd bf16\n", "", False),
        ("", "", False),
    ],
)
def test_bf16_is_native_by_the_processor_and_its_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str, limit: str, native: bool
) -> None:
    (tmp_path / "cpuinfo").write_text(flags)
    monkeypatch.setattr(hardware, "CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    assert native_bf16("cpu") == native
    said = [line for line in slow_settings("cpu", "bf16") if "bf16" in line]
    assert len(said) == (not native)
    assert not [line for line in slow_settings("cpu", "fp32") if "bf16" in line]


def test_unknown_processors_have_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "CPU_INFO", tmp_path / "none")
    assert not native_bf16("cpu")


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("150000 100000", 2), ("max 100000", None), ("1000 100000", 1), ("?", None)],
)
def test_cores_within_the_quota_of_a_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, cores: int | None
) -> None:
    monkeypatch.setattr(hardware.os, "sched_getaffinity", lambda _: range(8), raising=False)
    monkeypatch.setattr(hardware, "CPU_QUOTA", tmp_path / "cpu.max")
    (tmp_path / "cpu.max").write_text(quota)
    assert usable_cores() == (8 if cores is None else cores)


def test_more_threads_than_cores_are_mentioned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    (said,) = slow_settings("cpu", "fp32")
    assert said.startswith("64 threads share ") and f"OMP_NUM_THREADS={usable_cores()}" in said
