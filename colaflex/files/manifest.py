"""What the files of a run folder held when the run wrote them, to be checked when they are used.

`manifest.json` has the SHA-256 of every file that a result depends on, and names the checkpoint
that holds the final weights. A file that is being replaced has two for that moment, so that a run
killed at any point leaves nothing that passes for damage. Runs made before there was a manifest
are read as they are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from colaflex.errors import UserError
from colaflex.files.reading import MAX_JSON, MissingFile, inside, read_bytes, read_json
from colaflex.files.writing import write_atomic

__all__ = ["MANIFEST", "DamagedManifest", "RunManifest", "confirmed"]

MANIFEST = "manifest.json"
SCHEMA = 1
LARGEST_MANIFEST = 1 << 20


class DamagedManifest(UserError):
    """The manifest itself is not as it was written, so that it confirms nothing."""


@dataclass(frozen=True)
class RunManifest:
    """The digests of a run folder's files.

    Attributes:
        files: by name, the SHA-256 of each content that the file may have.
        weights: name of the final checkpoint and SHA-256 of its own manifest; None while the run
            is not complete.
    """

    files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    weights: tuple[str, str] | None = None

    @classmethod
    def of(cls, folder: Path) -> RunManifest | None:
        """The manifest of a run folder; None where it was made before there was one.

        Raises:
            DamagedManifest: it is not as it was written.
            UserError: it is of a newer version.
        """
        path = inside(folder, MANIFEST)
        try:
            body = read_json(path, LARGEST_MANIFEST)
        except MissingFile:
            return None
        except UserError as error:
            raise DamagedManifest(f"{error}; {_MEND}") from None
        if not isinstance(body, dict) or body.pop("sha256", None) != _own_hash(body):
            raise DamagedManifest(f"{path}: its SHA-256 is not the one it states; {_MEND}")
        if body.get("schema") != SCHEMA:
            raise UserError(f"{path}: was written by a newer colaflex; upgrade colaflex to read it")
        try:
            files = {str(name): tuple(digests) for name, digests in body["files"].items()}
            weights = body["weights"] and (str(body["weights"][0]), str(body["weights"][1]))
        except (KeyError, IndexError, TypeError, AttributeError):
            raise DamagedManifest(f"{path}: expected `files` and `weights`; {_MEND}") from None
        return cls(files, weights or None)

    def write(self, folder: Path) -> None:
        """Put it into the run folder."""
        files = {name: list(digests) for name, digests in sorted(self.files.items())}
        weights = None if self.weights is None else list(self.weights)
        body: dict[str, Any] = {"schema": SCHEMA, "files": files, "weights": weights}
        text = json.dumps({**body, "sha256": _own_hash(body)}, indent=1)
        write_atomic(inside(folder, MANIFEST), text + "\n")

    def expecting(self, digests: Mapping[str, str]) -> RunManifest:
        """The same, with these contents allowed beside the present ones."""
        files = dict(self.files)
        for name, digest in digests.items():
            files[name] = tuple(dict.fromkeys((*files.get(name, ()), digest)))
        return replace(self, files=files)

    def holding(self, digests: Mapping[str, str]) -> RunManifest:
        """The same, with nothing but these contents allowed for these files."""
        return replace(self, files={**self.files, **{n: (d,) for n, d in digests.items()}})

    def check(self, folder: Path, name: str, content: bytes) -> None:
        """Raise UserError where a file has another content than the run wrote."""
        allowed = self.files.get(name)
        if allowed is not None and hashlib.sha256(content).hexdigest() not in allowed:
            raise UserError(
                f"{folder / name}: has changed since this run wrote it (its SHA-256 is not the one "
                f"in {MANIFEST}); {_MEND}"
            )

    def faults(self, folder: Path) -> dict[str, str]:
        """What is wrong with which of the files; empty where all are as they were written."""
        faults = {}
        for name in self.files:
            try:
                self.check(folder, name, read_bytes(inside(folder, name), MAX_JSON))
            except UserError as error:
                faults[name] = str(error)
        return faults


_MEND = "restore it from a copy, or let `colaflex run SPEC --out FOLDER --resume` mend the run"


def confirmed(folder: Path, name: str, limit: int = MAX_JSON) -> bytes:
    """The content of a file of a run folder, as the run wrote it.

    Raises:
        MissingFile: there is none, nor should there be in a run that is not complete.
        UserError: it can't be read, or has changed since.
    """
    manifest = RunManifest.of(folder)
    try:
        content = read_bytes(inside(folder, name), limit)
    except MissingFile as error:
        if manifest is None or manifest.weights is None or name not in manifest.files:
            raise
        raise UserError(f"{error}, though this run wrote one; {_MEND}") from None
    if manifest is not None:
        manifest.check(folder, name, content)
    return content


def _own_hash(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
