"""Device and precision of a run: settings of a machine, not of an experiment."""

from __future__ import annotations

from pathlib import Path

import torch

from colaflex.errors import UserError
from colaflex.training.stage_loss import Precision

__all__ = ["chosen_device", "chosen_precision"]


def chosen_device(asked: str) -> str:
    """The device by name; raises UserError where it is not there."""
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if asked == "auto":
        return "cuda" if there else "cpu"
    kind, _, number = asked.partition(":")
    if asked == "cpu" or (
        kind == "cuda" and there and (not number or number in map(str, range(there)))
    ):
        return asked
    if kind != "cuda":
        raise UserError(f"--device {asked}: no such device; choose from auto, cpu, cuda, cuda:N")
    have = f"{there} CUDA devices, counted from 0" if there else "no CUDA device"
    raise UserError(f"--device {asked}: this machine has {have}; choose cpu or auto")


def chosen_precision(asked: str, device: str) -> Precision:
    """fp32 or bf16; `auto` takes bf16 where the hardware multiplies it natively."""
    if asked == "auto":
        if device.startswith("cuda"):
            return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
        capability = torch.backends.cpu.get_cpu_capability()
        flags = Path("/proc/cpuinfo")
        native = flags.exists() and any(
            name in flags.read_text(encoding="utf-8", errors="replace")
            for name in ("avx512_bf16", "amx_bf16")
        )
        return "bf16" if native and "AVX512" in capability else "fp32"
    return "bf16" if asked == "bf16" else "fp32"
