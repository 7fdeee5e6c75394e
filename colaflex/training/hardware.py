"""What the processor does natively for this process, and which settings are slow for want of it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from colaflex.errors import UserError

__all__ = [
    "Precision",
    "compiler",
    "hardware",
    "native_bf16",
    "require_compiler",
    "slow_settings",
    "usable_cores",
]

Precision = Literal["fp32", "bf16"]
"""Of a step's arithmetic; weights and optimizer stay in fp32."""

CPU_INFO = Path("/proc/cpuinfo")
CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")
ONEDNN_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
WITHOUT_BF16 = {
    "sse41", "avx", "avx2", "avx2_vnni", "avx2_vnni_2", "avx512_mic", "avx512_mic_4ops",
    "avx512_core", "avx512_core_vnni",
}  # fmt: skip
"""Limits under which oneDNN multiplies bf16 by other means, several times slower than fp32."""


def native_bf16(device: str) -> bool:
    """Whether products of bf16 matrices run at full speed on a device, in this process.

    What the processor could do counts only as far as the process may use it: as torch was built,
    and within the limits that the environment sets to torch and to oneDNN.
    """
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return (
        torch.backends.mkldnn.is_available()
        and "AVX512" in torch.backends.cpu.get_cpu_capability()
        and _onednn_limit() not in WITHOUT_BF16
        and not {"avx512_bf16", "amx_bf16"}.isdisjoint(_cpu_features())
    )


def _onednn_limit() -> str:
    given = (os.environ[name] for name in ONEDNN_LIMITS if os.environ.get(name))
    return next(given, "").lower()


def _cpu_features() -> set[str]:
    """Names of what the processor can do; none where that can't be known."""
    try:
        lines = CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return set()
    return set(next((line for line in lines if line.startswith("flags")), "").split())


def usable_cores() -> int:
    """Cores that this process may use: as it is pinned, and within its container's quota."""
    affine = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if affine else os.cpu_count() or 1
    try:
        quota, period = CPU_QUOTA.read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else max(1, min(cores, -(-int(quota) // int(period))))


def compiler() -> str | None:
    """The C++ compiler that torch.compile would call; None where there is none."""
    return shutil.which(_compiler_name())


def _compiler_name() -> str:
    return os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")


def require_compiler() -> None:
    """Raise UserError where there is no compiler, without which torch.compile fails."""
    if compiler() is None:
        raise UserError(
            f"training.compile: torch.compile needs a C++ compiler, and there is no "
            f"{_compiler_name()} here: install one, or set compile to false"
        )


def slow_settings(device: str, precision: Precision) -> Iterator[str]:
    """A sentence on each setting of a run that this hardware makes slow.

    Args:
        device: cpu or cuda.
        precision: of the losses' arithmetic.
    """
    if precision == "bf16" and not native_bf16(device):
        where = "this CUDA device" if device.startswith("cuda") else "this processor"
        yield (
            f"precision bf16 is slow here, {where} does not multiply bf16 natively; "
            "--precision fp32 is faster"
        )
    cores, threads = usable_cores(), torch.get_num_threads()
    if device == "cpu" and threads > cores:
        yield (
            f"{threads} threads share {cores} usable cores and wait for each other; set "
            f"OMP_NUM_THREADS={cores}"
        )


@dataclass(frozen=True, slots=True)
class Hardware:
    """What `colaflex doctor` tells of this machine.

    Attributes:
        device: that `--device auto` takes, by name.
        bf16: whether it multiplies bf16 natively.
        compiler: of C++, for torch.compile; None where there is none.
        slow: sentences on what is slow here, whatever is chosen.
    """

    device: str
    bf16: bool
    compiler: str | None
    slow: tuple[str, ...]


def hardware() -> Hardware:
    """This machine, as this process may use it."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    slow = tuple(slow_settings(device, "fp32"))
    return Hardware(name, native_bf16(device), compiler(), slow)
