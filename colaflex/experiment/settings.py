"""Device and precision of a run: settings of a machine, not of an experiment."""

from __future__ import annotations

import torch

from colaflex.errors import UserError
from colaflex.training.hardware import Precision, native_bf16

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
        return "bf16" if native_bf16(device) else "fp32"
    return "bf16" if asked == "bf16" else "fp32"
