"""The files of a run folder: which there are, and how they come to be."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import math
import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from colaflex.errors import RunFailure, UserError
from colaflex.files import write_atomic
from colaflex.interfaces.metric import Items, Measurement
from colaflex.run_places import IDENTITY, meant

if TYPE_CHECKING:
    from colaflex.run_conditions import Conditions

__all__ = ["IDENTITY", "AnotherRun", "FolderHeld", "RunFolder", "environment", "measurements_json"]

log = logging.getLogger("colaflex")

CANNOT_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES)
WRITTEN_WHOLE = (
    IDENTITY,
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
    `metrics.jsonl`, `checkpoints/`, and at the end `samples.jsonl`, `items.json`, `result.json`,
    `report.html`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, name: str) -> dict[str, Any]:
        """A JSON file of the folder.

        Raises:
            UserError: it is missing or broken, and what that means.
        """
        path = self.path / name
        if not self.path.is_dir():
            raise UserError(f"{self.path}: there is no such run folder{meant(self.path)}")
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            if (self.path / IDENTITY).exists():
                raise UserError(
                    f"{self.path}: this run is not finished, it has no {name} yet; go on with it "
                    "with `colaflex run --resume`"
                ) from None
            raise UserError(f"{self.path} is no run folder: it has no {name}") from None
        except (ValueError, OSError) as error:
            raise UserError(f"{path}: not readable as JSON: {error}") from None
        if not isinstance(value, dict):
            raise UserError(f"{path}: expected a JSON object")
        return value

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Write a JSON file; numbers that JSON does not have are refused."""
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
        write_atomic(self.path / name, text + "\n")

    def write_lines(self, name: str, records: Iterable[Mapping[str, Any]]) -> None:
        """Write one JSON object a line."""
        lines = (json.dumps(record, ensure_ascii=False, allow_nan=False) for record in records)
        write_atomic(self.path / name, "".join(f"{line}\n" for line in lines))

    def write_items(self, items: Mapping[str, Items]) -> None:
        """Write `items.json`, a metric a line, without those that have no value."""
        lines = (
            f"{json.dumps(name, ensure_ascii=False)}: {json.dumps(found.as_json())}"
            for name, found in sorted(items.items())
            if found.defined
        )
        write_atomic(self.path / "items.json", "{\n" + ",\n".join(lines) + "\n}\n")

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
            yield
        except OSError as error:
            if error.errno not in CANNOT_WRITE:
                raise
            raise RunFailure(
                f"{error.filename or self.path}: can't be written: {error.strerror}; make room, "
                "and --resume goes on from what is there"
            ) from error
        finally:
            os.close(descriptor)

    def _lock(self, descriptor: int) -> None:
        """Lock the folder itself, so that a process that is killed leaves nothing behind."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderHeld(
                f"{self.path}: another process is training in this folder; wait for it, or choose "
                "another one with --out"
            ) from None
        except OSError as error:
            log.warning("%s: can't be locked (%s); going on", self.path, error.strerror)

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
            self.write_json(IDENTITY, identity)
            return dict(identity)
        known = self.read(IDENTITY)
        if known.get("spec_digest") != identity["spec_digest"]:
            raise AnotherRun(
                f"{self.path}: holds a run of another spec; choose another folder with --out",
                known,
            )
        if not resume:
            raise UserError(
                f"{self.path}: holds this run already; go on with it with --resume, or choose "
                "another folder with --out"
            )
        return known

    def _sweep(self) -> None:
        """Remove what a killed writer has left behind."""
        for name in WRITTEN_WHOLE:
            for path in self.path.glob(f".{name}.*.tmp"):
                path.unlink()


def measurements_json(metrics: Mapping[str, Measurement]) -> dict[str, dict[str, Any]]:
    """The flat map of result.json; a bound that is not known is null, an unknown value left out."""
    return {
        name: {
            k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()
        }
        for name, row in ((name, value.as_json()) for name, value in sorted(metrics.items()))
        if math.isfinite(row["value"])
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
