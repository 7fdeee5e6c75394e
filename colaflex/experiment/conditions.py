"""What moves a run's numbers and stands in no digest: precision, machine, versions, processes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from colaflex.host.metadata import ALLOW, REFUSE, STRICT
from colaflex.training.distributed import Processes
from colaflex.training.hardware import Precision

__all__ = [
    "CONDITIONS",
    "Conditions",
    "changes",
    "conditions",
    "in_words",
    "precision_of",
    "unlike",
]

Conditions = Mapping[str, Any]
"""By name, as it stands in checkpoints and results; empty where nobody has recorded them."""

CONDITIONS = ("precision", "device", "torch", "processes", "strategy", "settings", "threads")
SILENT = ("threads",)
"""Recorded, but not told: another number of threads moves the last bits at most."""


def conditions(processes: Processes, precision: Precision) -> dict[str, Any]:
    """Those of this process."""
    device = processes.device
    cuda = device.type == "cuda"
    return {
        "precision": precision,
        "device": f"cuda ({torch.cuda.get_device_name(device)})" if cuda else device.type,
        "torch": torch.__version__,
        "processes": processes.world,
        "strategy": processes.strategy if processes.world > 1 else "none",
        "threads": torch.get_num_threads(),
        "settings": {n: os.environ[n] for n in (ALLOW, REFUSE, STRICT) if n in os.environ},
    }


def changes(before: Conditions, now: Conditions) -> dict[str, tuple[Any, Any]]:
    """What differs, of what both have and of what is worth telling."""
    return {
        name: (before[name], now[name])
        for name in CONDITIONS
        if name in before and name in now and before[name] != now[name] and name not in SILENT
    }


def in_words(changed: Mapping[str, tuple[Any, Any]]) -> str:
    """Each as `name: before -> now`."""
    return ", ".join(f"{name}: {before} -> {now}" for name, (before, now) in changed.items())


def unlike(trained: Conditions, now: Conditions) -> str:
    """What is said of something that was trained under other conditions than those of now."""
    if "precision" not in trained:
        return "does not say in which precision it was trained"
    changed = changes(trained, now)
    return f"was trained under other conditions than this run ({in_words(changed)})" * bool(changed)


def precision_of(recorded: Iterable[Conditions]) -> str | None:
    """The one precision of all that is recorded; None where it is not known, or not one."""
    precisions = {each.get("precision") for each in recorded}
    return precisions.pop() if len(precisions) == 1 else None
