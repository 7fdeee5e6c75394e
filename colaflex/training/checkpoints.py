"""Checkpoints: directories of safetensors and JSON that exist whole or not at all.

A checkpoint `<stage>-<step>` is written into a temporary directory beside its place, every file
synced, its manifest (sizes and SHA-256 of the files) last; the directory is renamed into place and
the parent synced. Only what its manifest confirms is ever read, and nothing is ever unpickled.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from colaflex.errors import UserError
from colaflex.files.reading import inside, read_json
from colaflex.files.writing import sha256_file, sync_directory
from colaflex.training.manifests import (
    MANIFEST,
    CheckpointError,
    Manifest,
    Position,
    canonical_json,
    read_manifest,
    require,
    verify,
)

__all__ = ["Checkpoint", "CheckpointError", "CheckpointStore", "Position"]

log = logging.getLogger("colaflex")

TEMPORARY = ".tmp"
# safetensors' names of the types that a model's state has.
DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}


@dataclass(frozen=True)
class Checkpoint:
    """What a run needs to go on as if it had never stopped.

    Attributes:
        position: how far training has come.
        model: state of the whole model.
        optimizer: state tensors by `<key>:<parameter>`; empty once the stage is done.
        ema: averages by parameter; empty without an average, or once the stage is done.
        state: the rest, as JSON.
    """

    position: Position
    model: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor] = field(default_factory=dict)
    ema: Mapping[str, Tensor] = field(default_factory=dict)
    state: Mapping[str, Any] = field(default_factory=dict)

    def averaged(self) -> dict[str, Tensor]:
        """State of the model with the averages in place of the weights, to evaluate with."""
        averages = {id(self.model[name]): average for name, average in self.ema.items()}
        return {name: averages.get(id(t), t) for name, t in self.model.items()}  # tied ones too


class CheckpointStore:
    """The `checkpoints/` folder of a run.

    Args:
        root: the folder; made when first needed. Neither it nor a checkpoint may be a link that
            leads out of the folder that it lies in.
        spec_digest: identifies the experiment; checkpoints of another are refused.

    Raises:
        UserError: there is such a link.
    """

    def __init__(self, root: Path, spec_digest: str) -> None:
        self.root = inside(root.parent, root.name)
        for path in _entries(self.root):
            inside(self.root, path.name)
        self.spec_digest = spec_digest

    def sweep(self) -> None:
        """Remove what a killed writer has left behind."""
        for path in _entries(self.root):
            if path.name.startswith(".") and path.name.endswith(TEMPORARY):
                _remove(path)

    def names(self) -> list[str]:
        """Names of all checkpoints, valid or not."""
        return [p.name for p in _entries(self.root) if p.is_dir() and not p.name.startswith(".")]

    def save(self, checkpoint: Checkpoint, keep: int = 2) -> Path:
        """Write a checkpoint, verify it, then delete all but the newest `keep`.

        Raises:
            OSError: it could not be written; what was there before is untouched.
            CheckpointError: it did not read back as it was written, and was removed.
        """
        name = checkpoint.position.name
        temporary = self.root / f".{name}{TEMPORARY}"
        target = self.root / name
        self.root.mkdir(parents=True, exist_ok=True)
        try:
            self._discard(temporary)
            self._write(checkpoint, temporary)
            # Training goes on from the newest valid checkpoint, so what stands here is invalid.
            self._discard(target)
            temporary.rename(target)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        sync_directory(self.root)
        self._confirm(target)
        self.prune(checkpoint.position, keep)
        return target

    def _write(self, checkpoint: Checkpoint, folder: Path) -> None:
        model, tied = _untie(checkpoint.model)
        contents = {
            "model.safetensors": save(model),
            "optimizer.safetensors": save(_untie(checkpoint.optimizer)[0]),
            "ema.safetensors": save(_untie(checkpoint.ema)[0]),
            "state.json": canonical_json({**checkpoint.state, "tied": tied}),
        }
        manifest = Manifest.of(checkpoint.position, self.spec_digest, contents)
        folder.mkdir()
        for name, data in contents.items():
            _write_synced(folder / name, data)
        sync_directory(folder)
        _write_synced(folder / MANIFEST, canonical_json(manifest.as_json()))
        sync_directory(folder)

    def _confirm(self, target: Path) -> None:
        try:
            verify(target, read_manifest(target))
        except CheckpointError:
            self._discard(target)
            raise

    def prune(self, newest: Position, keep: int) -> None:
        """Delete the checkpoints before `newest` that are more than `keep` with it.

        A writer that was killed between the two has left one too many.
        """
        manifests, _ = self._scan()
        older = [(m.position.order, p) for p, m in manifests if m.position.order < newest.order]
        try:
            for _, path in sorted(older, reverse=True)[max(0, keep - 1) :]:
                self._discard(path)
        except OSError as error:
            log.warning("an old checkpoint could not be deleted: %s", error)

    def _discard(self, path: Path) -> None:
        """Delete a directory so that no half of it can ever pass for a checkpoint."""
        if not path.exists():
            return
        if not path.name.endswith(TEMPORARY):
            doomed = self.root / f".{path.name}.discarded{TEMPORARY}"
            shutil.rmtree(doomed, ignore_errors=True)
            path = path.rename(doomed)
            sync_directory(self.root)  # or a power cut could bring back what is half deleted
        _remove(path)

    def _scan(self) -> tuple[list[tuple[Path, Manifest]], list[str]]:
        """Checkpoints with a sound manifest, newest first, and what is wrong with the others."""
        manifests, problems = [], []
        for name in self.names():
            try:
                manifests.append((self.root / name, read_manifest(self.root / name)))
            except CheckpointError as error:
                problems.append(str(error))
        return sorted(manifests, key=lambda pair: pair[1].position.order, reverse=True), problems

    def latest(self, expected: Mapping[str, Tensor]) -> Checkpoint | None:
        """The newest valid checkpoint, or None where there is none at all.

        Args:
            expected: the model's state, for its names and shapes.

        Raises:
            CheckpointError: there are checkpoints, and none of them can be used.
        """
        manifests, problems = self._scan()
        for path, manifest in manifests:
            try:
                checkpoint = self._read(path, manifest, expected)
            except CheckpointError as error:
                problems.append(str(error))
                continue
            for problem in problems:
                log.warning("a checkpoint is not used: %s", problem)
            return checkpoint
        if problems:
            listed = "\n".join(f"  {problem}" for problem in problems)
            raise CheckpointError(f"no checkpoint in {self.root} can be used:\n{listed}")
        return None

    def size(self) -> int:
        """Bytes of the largest model in any checkpoint."""
        models = self.root.glob("*/model.safetensors")
        sizes = [path.stat().st_size for path in models if path.is_file()]
        return max(sizes, default=0)

    def newest(self) -> tuple[str, str] | None:
        """Name and manifest's SHA-256 of the newest checkpoint; None where there is none."""
        manifests, _ = self._scan()
        path = manifests[0][0] if manifests else None
        return None if path is None else (path.name, sha256_file(path / MANIFEST))

    def named(
        self, name: str, digest: str, expected: Mapping[str, Tensor], whole: bool = True
    ) -> Checkpoint:
        """The very checkpoint that `newest` told of.

        Args:
            name: its name.
            digest: SHA-256 of its manifest.
            expected: the model's state, for its names and shapes.
            whole: its files' digests are compared with the manifest's, which reads them twice.

        Raises:
            CheckpointError: it is gone, or damaged, or another one stands there.
        """
        path, manifest = self._known(name, digest)
        return self._read(path, manifest, expected, whole)

    def confirm(self, name: str, digest: str) -> None:
        """Compare the checkpoint that `newest` told of with its manifest, without loading it.

        Raises:
            CheckpointError: it is gone, or damaged, or another one stands there.
        """
        verify(*self._known(name, digest))

    def _known(self, name: str, digest: str) -> tuple[Path, Manifest]:
        path = inside(self.root, name)
        manifest = read_manifest(path)
        require(path, digest)
        return path, manifest

    def _read(
        self, path: Path, manifest: Manifest, expected: Mapping[str, Tensor], whole: bool = True
    ) -> Checkpoint:
        if manifest.spec_digest != self.spec_digest:
            raise CheckpointError(
                f"{path / MANIFEST}: belongs to another experiment (spec digest "
                f"{manifest.spec_digest[:12]}, expected {self.spec_digest[:12]}); "
                "resume with the spec it was made from, or choose another run folder"
            )
        verify(path, manifest, whole)
        state = _state(path / "state.json")
        tied = state.pop("tied")
        _check_architecture(path / "model.safetensors", tied, expected)
        model = _load(path / "model.safetensors")
        model |= {alias: model[name] for alias, name in tied.items()}
        optimizer, ema = _load(path / "optimizer.safetensors"), _load(path / "ema.safetensors")
        return Checkpoint(manifest.position, model, optimizer, ema, state)


def _remove(path: Path) -> None:
    """Delete a folder, or whatever else stands there; what a link leads to stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _load(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"{path}: expected a safetensors file ({error})") from None


def _untie(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors each in memory of its own, and the names that stand for another's tensor."""
    kept: dict[str, Tensor] = {}
    tied: dict[str, str] = {}
    owner: dict[tuple[object, ...], str] = {}
    for name, tensor in tensors.items():
        data = tensor.detach()
        storage = data.untyped_storage()
        place = (storage.data_ptr(), data.storage_offset(), data.shape, data.stride(), data.dtype)
        if data.numel() and owner.setdefault(place, name) != name:
            tied[name] = owner[place]
            continue
        data = data.cpu().contiguous()
        whole = data.untyped_storage().nbytes() == data.numel() * data.element_size()
        kept[name] = data if whole else data.clone()
    return kept, tied


def _check_architecture(
    path: Path, tied: Mapping[str, str], expected: Mapping[str, Tensor]
) -> None:
    """Refuse the weights of another model, naming the first tensor that differs.

    Only the file's head is read, so that nothing is allocated for what doesn't fit.
    """
    shapes = _shapes(path)
    shapes |= {alias: shapes[name] for alias, name in tied.items() if name in shapes}
    for name in sorted(shapes.keys() | expected.keys()):
        here, there = shapes.get(name, "missing"), _describe(expected.get(name))
        if here != there:
            raise CheckpointError(
                f"{path}: is of another model: {name} is {here}, expected {there}"
            )


def _shapes(path: Path) -> dict[str, str]:
    """What the tensors of a safetensors file are, by name, from its head."""
    try:
        with safe_open(path, framework="pt") as file:
            heads = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            return {
                name: f"{DTYPES.get(head.get_dtype(), head.get_dtype())} {tuple(head.get_shape())}"
                for name, head in heads.items()
            }
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: expected a safetensors file ({error})") from None


def _state(path: Path) -> dict[str, Any]:
    """The JSON part of a checkpoint, with the tensors that are tied to others."""
    try:
        state = read_json(path)
    except UserError as error:
        raise CheckpointError(str(error)) from None
    if not isinstance(state, dict) or not isinstance(state.get("tied"), dict):
        raise CheckpointError(f"{path}: expected a JSON object with the map `tied`")
    return state


def _describe(tensor: Tensor | None) -> str:
    if tensor is None:
        return "missing"
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
