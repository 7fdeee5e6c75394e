"""The manifest of a checkpoint: what it is, and the size and hash of each of its files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from colaflex.errors import UserError
from colaflex.files.reading import MissingFile, inside, read_json
from colaflex.files.writing import sha256_file

__all__ = [
    "FILES",
    "FORMAT",
    "MANIFEST",
    "CheckpointError",
    "Manifest",
    "Position",
    "canonical_json",
    "read_manifest",
    "require",
    "verify",
]

FORMAT = 1
MANIFEST = "manifest.json"
LARGEST_MANIFEST = 1 << 20
FILES = ("model.safetensors", "optimizer.safetensors", "ema.safetensors", "state.json")


class CheckpointError(UserError):
    """A checkpoint cannot be used; says which file, and what was expected of it."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far training has come.

    Attributes:
        stage: name of the stage.
        index: its place among the stages, from 0.
        step: steps of the stage that are done.
        done: whether the whole stage is, its closing work included.
    """

    stage: str
    index: int
    step: int
    done: bool = False

    @property
    def name(self) -> str:
        """Name of the checkpoint's directory."""
        return f"{self.stage}-{self.step:08d}"

    @property
    def order(self) -> tuple[int, int, bool]:
        """Sorts checkpoints by age."""
        return self.index, self.step, self.done


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a checkpoint holds; `files` maps a name to its size in bytes and its SHA-256."""

    position: Position
    spec_digest: str
    files: Mapping[str, tuple[int, str]]

    @classmethod
    def of(cls, position: Position, spec_digest: str, contents: Mapping[str, bytes]) -> Manifest:
        """The manifest of files with these contents."""
        files = {n: (len(d), hashlib.sha256(d).hexdigest()) for n, d in contents.items()}
        return cls(position, spec_digest, files)

    def as_json(self) -> dict[str, Any]:
        """As it stands in manifest.json, its own hash included."""
        position = self.position
        body: dict[str, Any] = {
            "format": FORMAT,
            "stage": position.stage,
            "stage_index": position.index,
            "step": position.step,
            "done": position.done,
            "spec_digest": self.spec_digest,
            "files": {n: {"size": s, "sha256": h} for n, (s, h) in self.files.items()},
        }
        return {**body, "sha256": _own_hash(body)}


def canonical_json(value: Mapping[str, Any]) -> bytes:
    """JSON with sorted keys and no NaN; floats come back exactly."""
    return json.dumps(value, sort_keys=True, indent=1, allow_nan=False).encode()


def _own_hash(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(body)).hexdigest()


def read_manifest(directory: Path) -> Manifest:
    """The manifest of a checkpoint's directory.

    Raises:
        CheckpointError: it is missing, damaged, or of a newer format.
    """
    path = directory / MANIFEST
    try:
        body = read_json(inside(directory, MANIFEST), LARGEST_MANIFEST)
    except MissingFile:
        raise CheckpointError(f"{path}: missing, so the checkpoint was never completed") from None
    except UserError as error:
        raise CheckpointError(str(error)) from None
    written = body.get("format") if isinstance(body, dict) else None
    if not isinstance(written, int):
        raise CheckpointError(f"{path}: expected a JSON object with an integer `format`")
    if written > FORMAT:
        raise CheckpointError(
            f"{path}: was written in format {written} by a newer colaflex; "
            f"this one reads formats up to {FORMAT}: upgrade colaflex"
        )
    if body.pop("sha256", None) != _own_hash(body):
        raise CheckpointError(f"{path}: is damaged (its SHA-256 is not the one it states)")
    try:
        position = Position(
            str(body["stage"]), int(body["stage_index"]), int(body["step"]), bool(body["done"])
        )
        files = {name: (f["size"], f["sha256"]) for name, f in body["files"].items()}
        manifest = Manifest(position, str(body["spec_digest"]), files)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path}: lacks an entry of format {FORMAT} ({error!r})") from None
    if sorted(files) != sorted(FILES):
        expected, listed = ", ".join(sorted(FILES)), ", ".join(sorted(files))
        raise CheckpointError(f"{path}: expected the files {expected}; it lists {listed}")
    return manifest


def require(directory: Path, digest: str) -> None:
    """Raise CheckpointError for a checkpoint whose manifest has another SHA-256."""
    if sha256_file(directory / MANIFEST) != digest:
        raise CheckpointError(f"{directory}: is not the checkpoint that the run ended with")


def verify(directory: Path, manifest: Manifest, whole: bool = True) -> None:
    """Compare every file with the manifest; raises CheckpointError for the first that differs.

    Args:
        directory: of the checkpoint.
        manifest: what it should hold.
        whole: not the sizes alone.
    """
    for name, (size, digest) in manifest.files.items():
        try:
            path = inside(directory, name)
            actual = path.stat().st_size
            if actual != size:
                raise CheckpointError(f"{path}: has {actual} bytes, expected {size} (cut short?)")
            if whole and sha256_file(path) != digest:
                raise CheckpointError(f"{path}: is damaged (SHA-256 differs from the manifest's)")
        except OSError as error:
            reason = error.strerror or error
            raise CheckpointError(f"{directory / name}: cannot be read ({reason})") from None
