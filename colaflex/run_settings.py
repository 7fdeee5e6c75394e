"""Device and precision of a run: settings of a machine, not of an experiment."""

from __future__ import annotations

from pathlib import Path

import torch

from colaflex.errors import UserError
from colaflex.training.stage_loss import Precision

__all__ = ["chosen_device", "chosen_precision"]


def chosen_device(asked: str) -> str:
    """The device by name; raises UserError where it is not there."""
    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if asked.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"--device {asked}: this machine has no CUDA device; choose cpu or auto")
    return asked


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
