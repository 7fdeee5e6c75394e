"""Weights in the cache: with a digest of their own, read only where they are whole and fit."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from colaflex.errors import UserError
from colaflex.files.reading import inside, open_regular
from colaflex.files.writing import cache_dir, write_atomic

__all__ = ["DamagedWeights", "digest_of", "known_of", "read_weights", "write_weights"]

DIGEST = "weights"


class DamagedWeights(Exception):
    """A file of cached weights can't be used; says why."""


def digest_of(state: Mapping[str, Tensor]) -> str:
    """SHA-256 of the names, types, shapes and values of tensors; "" of none."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest() if state else ""


def write_weights(path: Path, state: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Keep weights and what is known of them; raises OSError where they can't be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, save(dict(state), {**metadata, DIGEST: digest_of(state)}))


def known_of(path: Path) -> dict[str, str]:
    """What is known of kept weights, which are not read; raises DamagedWeights."""
    return read_weights(path, {})[0]


def read_weights(
    path: Path, expected: Mapping[str, Tensor]
) -> tuple[dict[str, str], dict[str, Tensor]]:
    """What is known of kept weights, and the weights.

    Files of before there were digests are taken as they are.

    Args:
        path: a file in the cache.
        expected: the tensors that are wanted, for their names and shapes.

    Raises:
        DamagedWeights: the file has other tensors or other values than were kept.
    """
    try:
        inside(cache_dir(), str(path.relative_to(cache_dir())))
        open_regular(path).close()  # to open a pipe would wait for a writer
        with safe_open(path, framework="pt") as file:
            for name, tensor in expected.items():  # of all, before any is read
                shape = tuple(file.get_slice(name).get_shape())
                if shape != tuple(tensor.shape):
                    raise DamagedWeights(f"{name} is {shape}, expected {tuple(tensor.shape)}")
            state = {name: file.get_tensor(name) for name in expected}
            metadata = dict(file.metadata() or {})
    except (OSError, UserError, SafetensorError) as error:
        raise DamagedWeights(str(error)) from None
    kept = metadata.pop(DIGEST, None)
    if expected and kept is not None and kept != digest_of(state):
        raise DamagedWeights("its values are not the ones that were kept")
    return metadata, state
