"""Trained representations by content: a prior swapped in a spec keeps the very same stage 1."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from colaflex.files import cache_dir, write_atomic

__all__ = [
    "PARTS",
    "Kept",
    "StageOne",
    "load_stage_one",
    "save_stage_one",
    "stage_one_path",
    "stage_one_state",
    "weights_digest",
]

log = logging.getLogger("colaflex")

PARTS = ("segmenter.", "representation.", "shift", "scale")
"""What stage 1 leaves behind: these entries of a latent model's state."""


@dataclass(frozen=True, slots=True)
class StageOne:
    """What a stage 1 took, whoever trained it."""

    steps: int
    tokens: int
    flops: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Kept:
    """A finished stage 1: what it took, and its part of a model's state."""

    cost: StageOne
    state: dict[str, Tensor]


def stage_one_state(model: nn.Module) -> dict[str, Tensor]:
    """The part of a model's state that stage 1 makes."""
    state = model.state_dict()
    return {
        name: t.detach().cpu().contiguous() for name, t in state.items() if name.startswith(PARTS)
    }


def weights_digest(model: nn.Module) -> str:
    """SHA-256 of what stage 1 made as it is now, whatever trained it since; "" without latents."""
    state = stage_one_state(model)
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest() if state else ""


def save_stage_one(model: nn.Module, cost: StageOne, digest: str) -> None:
    """Keep a finished stage 1; a cache that can't be written is only a warning."""
    path = stage_one_path(digest)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, save(stage_one_state(model), {"cost": json.dumps(asdict(cost))}))
    except OSError as error:
        log.warning("stage 1 is not kept for other runs: %s", error)


def load_stage_one(model: nn.Module, digest: str) -> Kept | None:
    """The kept stage 1 of a model, which stays as it is; None where there is none."""
    path = stage_one_path(digest)
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            cost = StageOne(**json.loads(file.metadata()["cost"]))
            return Kept(cost, {name: file.get_tensor(name) for name in stage_one_state(model)})
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        log.warning("the kept stage 1 %s is damaged (%s) and is trained anew", path, error)
        return None


def stage_one_path(digest: str) -> Path:
    """Where a trained stage 1 is kept, or will be."""
    return cache_dir() / "stage1" / f"{digest}.safetensors"
