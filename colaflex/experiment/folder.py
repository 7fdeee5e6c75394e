"""The files of a run folder: which there are, and how they come to be."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import math
import os
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from colaflex.errors import RunFailure, UserError
from colaflex.experiment.places import IDENTITY, meant
from colaflex.files.manifest import MANIFEST, DamagedManifest, RunManifest, confirmed
from colaflex.files.reading import MissingFile, inside, parse_json, read_json
from colaflex.files.run_shapes import checked
from colaflex.files.writing import sha256_file, write_atomic
from colaflex.interfaces.metric import Items, Measurement
from colaflex.metrics.measurements import finite
from colaflex.runtime.lock import leads_to, lock

if TYPE_CHECKING:
    from colaflex.experiment.conditions import Conditions

__all__ = [
    "IDENTITY",
    "AnotherRun",
    "FolderHeld",
    "RunFolder",
    "environment",
    "json_text",
    "measurements_json",
]

log = logging.getLogger("colaflex")

CANNOT_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES)
METRICS = "metrics.jsonl"
WRITTEN_WHOLE = (
    IDENTITY,
    MANIFEST,
    "spec.yaml",
    "tokenizer.json",
    "environment.json",
    "samples.jsonl",
    "items.json",
    "result.json",
    "report.html",
)


class FolderHeld(UserError):
    """Another process is training in this folder."""


class AnotherRun(UserError):
    """The folder holds a run of another spec; `known` is its identity."""

    def __init__(self, message: str, known: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.known = known


class RunFolder:
    """A run's folder; every file in it appears whole or not at all.

    `spec.yaml` (resolved), `run.json` (digests), `tokenizer.json`, `environment.json`,
    `manifest.json`, `metrics.jsonl`, `checkpoints/`, and at the end `samples.jsonl`, `items.json`,
    `result.json`, `report.html`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    @property
    def path(self) -> Path:
        """Where the folder is: while it is held, it is followed wherever it is moved.

        Raises:
            RunFailure: it was held, and is gone.
        """
        if self._descriptor is not None and not leads_to(self._path, self._descriptor):
            moved = _place_of(self._descriptor)
            if not leads_to(moved, self._descriptor):
                raise RunFailure(
                    f"{self._path}: this run folder is gone, deleted or moved to another disk; if "
                    "it was moved, --resume goes on there, from its last checkpoint"
                )
            log.warning("%s: this run folder is %s now; going on there", self._path, moved)
            self._path = moved
        return self._path

    def read(self, name: str) -> dict[str, Any]:
        """A JSON file of the folder.

        Raises:
            UserError: it is missing or broken, or holds something else, and what that means.
        """
        path = self.path / name
        if not self.path.is_dir():
            raise UserError(f"{self.path}: there is no such run folder{meant(self.path)}")
        try:
            return checked(parse_json(confirmed(self.path, name), path), path)
        except MissingFile:
            if (self.path / IDENTITY).exists():
                raise UserError(
                    f"{self.path}: this run is not finished, it has no {name} yet; go on with it "
                    "with `colaflex run --resume`"
                ) from None
            raise UserError(f"{self.path} is no run folder: it has no {name}") from None

    def confirmed(self, name: str) -> Path:
        """The path of a file, which holds what the run wrote; raises UserError where it doesn't."""
        confirmed(self.path, name)
        return self.path / name

    def put(self, contents: Mapping[str, str], weights: tuple[str, str] | None = None) -> None:
        """Write files, in this order, and their digests into the manifest.

        Args:
            contents: by name.
            weights: name of the checkpoint with the final weights, and its manifest's SHA-256.
        """
        raw = {name: text.encode() for name, text in contents.items()}
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in raw.items()}
        manifest = self._manifest()
        # Until the last file is there, the old ones are right as well.
        manifest.expecting(digests).write(self.path)
        for name, data in raw.items():
            write_atomic(inside(self.path, name), data)
        manifest = manifest.holding(digests)
        if weights is not None:
            log = inside(self.path, METRICS)
            lines = {METRICS: sha256_file(log)} if log.exists() else {}
            manifest = replace(manifest.holding(lines), weights=weights)
        manifest.write(self.path)

    def put_measured(
        self,
        result: Mapping[str, Any],
        samples: Iterable[Mapping[str, Any]],
        items: Mapping[str, Items],
        weights: tuple[str, str] | None = None,
    ) -> None:
        """Write what was measured; `result.json`, which says that the run is complete, last."""
        contents = {
            "samples.jsonl": _lines(samples),
            "items.json": _metric_a_line(items),
            "result.json": json_text(result),
        }
        self.put(contents, weights)

    def _manifest(self) -> RunManifest:
        """The manifest to go on from; a damaged one has said so when the run was resumed."""
        try:
            return RunManifest.of(self.path) or RunManifest()
        except UserError:
            return RunManifest()

    @contextmanager
    def held(self, writes: bool = True) -> Iterator[None]:
        """Hold the folder, which is made where it is missing: one process trains in it at a time.

        Args:
            writes: False for a process that leaves the folder to another of its group.

        Raises:
            UserError: another process holds it, or it can't be made.
            RunFailure: it can't be written, say because the disk is full.
        """
        if not writes:
            yield
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDONLY)
        except OSError as error:
            raise UserError(f"{self.path}: can't be made: {error.strerror}") from None
        try:
            self._lock(descriptor)
            self._descriptor = descriptor
            yield
        except OSError as error:
            if error.errno not in CANNOT_WRITE:
                raise
            begun = (self.path / IDENTITY).exists()
            then = "--resume goes on from what is there" if begun else "begin again"
            raise RunFailure(
                f"{error.filename or self.path}: can't be written: {error.strerror}; make room, "
                f"and {then}"
            ) from error
        finally:
            self._descriptor = None
            os.close(descriptor)

    def _lock(self, descriptor: int) -> None:
        """Lock the folder itself, so that a process that is killed leaves nothing behind."""
        try:
            free = lock(descriptor)
        except OSError as error:
            log.warning("%s: can't be locked (%s); going on", self.path, error.strerror)
            return
        if not free:
            raise FolderHeld(
                f"{self.path}: another process is training in this folder; wait for it, or choose "
                "another one with --out"
            )

    def claim(self, identity: Mapping[str, Any], resume: bool) -> dict[str, Any]:
        """Make the folder this run's, or find that it is.

        Args:
            identity: what is found again by whoever goes on with the run; its `spec_digest` must
                be equal then.
            resume: go on with what is there.

        Returns:
            The identity as it stands in the folder.

        Raises:
            UserError: the folder holds another run, or this one and `resume` was not asked for.
        """
        self._sweep()
        if not (self.path / IDENTITY).exists():
            if any(self.path.iterdir()):
                raise UserError(
                    f"{self.path}: this folder is not empty and holds no run; choose another one "
                    "with --out"
                )
            write_atomic(self.path / IDENTITY, json_text(identity))
            return dict(identity)
        known = self._known()
        if known.get("spec_digest") != identity["spec_digest"]:
            raise AnotherRun(
                f"{self.path}: holds a run of another spec; choose another folder with --out", known
            )
        if not resume:
            raise UserError(
                f"{self.path}: holds this run already; go on with it with --resume, or choose "
                "another folder with --out"
            )
        self._without_a_damaged_manifest()
        return known

    def _known(self) -> dict[str, Any]:
        """What run.json says, also where the manifest is damaged and confirms nothing."""
        path = inside(self.path, IDENTITY)
        try:
            return self.read(IDENTITY)
        except DamagedManifest:
            return checked(read_json(path), path)

    def _without_a_damaged_manifest(self) -> None:
        """Where nothing is confirmed any more, the run is measured again, into a new manifest."""
        try:
            RunManifest.of(self.path)
        except DamagedManifest as error:
            log.warning("damaged, and mended now: %s", error)
            for name in (MANIFEST, "result.json"):
                (self.path / name).unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Remove what a killed writer has left behind."""
        for name in WRITTEN_WHOLE:
            for path in self.path.glob(f".{name}.*.tmp"):
                path.unlink()


def json_text(value: Mapping[str, Any]) -> str:
    """A JSON file's text; numbers that JSON does not have are refused."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _lines(records: Iterable[Mapping[str, Any]]) -> str:
    """One JSON object a line."""
    lines = (json.dumps(record, ensure_ascii=False, allow_nan=False) for record in records)
    return "".join(f"{line}\n" for line in lines)


def _metric_a_line(items: Mapping[str, Items]) -> str:
    """The text of `items.json`, a metric a line, without those that have no value."""
    lines = (
        f"{json.dumps(name, ensure_ascii=False)}: {json.dumps(values.as_json())}"
        for name, values in sorted(items.items())
        if values.defined
    )
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _place_of(descriptor: int) -> Path:
    """The path of an open folder, as the system knows it."""
    if sys.platform == "darwin":
        raw = fcntl.fcntl(descriptor, fcntl.F_GETPATH, bytes(1024))
        return Path(os.fsdecode(raw.rstrip(b"\0")))
    return Path(f"/proc/self/fd/{descriptor}").readlink()


def measurements_json(metrics: Mapping[str, Measurement]) -> dict[str, dict[str, Any]]:
    """The flat map of result.json; a bound that is not known is null, an unknown value left out."""
    return {
        name: finite(measurement.as_json())
        for name, measurement in sorted(metrics.items())
        if math.isfinite(measurement.value)
    }


def environment(conditions: Conditions) -> dict[str, Any]:
    """The machine, the versions of what matters, and the conditions of a run."""
    names = ("colaflex", "torch", "torchdiffeq", "tokenizers", "safetensors", "numpy")
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        **{name: value for name, value in conditions.items() if name not in names},
        "packages": {name: metadata.version(name) for name in names},
    }
