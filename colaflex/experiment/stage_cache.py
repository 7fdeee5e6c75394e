"""Trained representations by content: a prior swapped in a spec keeps the very same stage 1.

What was trained in bf16 is kept apart from what was trained in fp32, as their weights differ. An
entry says under which conditions it was trained; one that is older than that serves either, and
whoever takes it says so.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor, nn

from colaflex.experiment.conditions import Conditions, precision_of
from colaflex.files.writing import cache_dir
from colaflex.training.cached_weights import (
    DamagedWeights,
    digest_of,
    known_of,
    read_weights,
    write_weights,
)
from colaflex.training.hardware import Precision

__all__ = [
    "PARTS",
    "KnownStageOne",
    "StageOne",
    "load_stage_one",
    "save_stage_one",
    "stage_one_path",
    "stage_one_state",
    "weights_digest",
]

log = logging.getLogger("colaflex")

UNREADABLE = (DamagedWeights, KeyError, TypeError, ValueError, AttributeError)

PARTS = ("segmenter.", "representation.", "shift", "scale")
"""What stage 1 leaves behind: these entries of a latent model's state."""


@dataclass(frozen=True, slots=True)
class StageOne:
    """What a stage 1 took, whoever trained it, and under which conditions."""

    steps: int
    tokens: int
    flops: int
    seconds: float
    conditions: Sequence[Conditions] = ()


@dataclass(frozen=True, slots=True)
class KnownStageOne:
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
    return digest_of(stage_one_state(model))


def save_stage_one(
    model: nn.Module, cost: StageOne, digest: str, precision: Precision = "fp32"
) -> None:
    """Keep a finished stage 1; a cache that can't be written is only a warning."""
    metadata = {"cost": json.dumps(asdict(cost))}
    try:
        write_weights(stage_one_path(digest, precision), stage_one_state(model), metadata)
    except OSError as error:
        log.warning("stage 1 is not kept for other runs: %s", error)


def load_stage_one(
    model: nn.Module, digest: str, precision: Precision = "fp32"
) -> KnownStageOne | None:
    """The stage 1 kept for a model, which stays as it is; None where there is none.

    Args:
        model: for the names of its state.
        digest: of the stage 1.
        precision: in which it was trained; one of another precision is another one.
    """
    path = stage_one_path(digest, precision)
    if not path.exists():
        return None
    try:
        metadata, state = read_weights(path, stage_one_state(model))
        return KnownStageOne(_cost(metadata), state)
    except UNREADABLE as error:
        log.warning("the kept stage 1 %s is damaged (%s) and is trained anew", path, error)
        return None


def stage_one_path(digest: str, precision: Precision = "fp32") -> Path:
    """Where a stage 1 that was trained in a precision is kept, or will be."""
    folder = cache_dir() / "stage1"
    first = folder / f"{digest}.safetensors"
    if _trained_in(first) in (None, precision):
        return first
    return folder / f"{digest}.{precision}.safetensors"


def _trained_in(path: Path) -> str | None:
    """The precision of a kept stage 1; None where there is none, or it doesn't say."""
    try:
        return precision_of(_cost(known_of(path)).conditions)
    except UNREADABLE:
        return None


def _cost(metadata: Mapping[str, str]) -> StageOne:
    took = json.loads(metadata["cost"])
    return StageOne(**{**took, "conditions": tuple(took.get("conditions", ()))})
