"""Files that appear whole or not at all."""

from __future__ import annotations

import hashlib
import os
import secrets
from contextlib import suppress
from pathlib import Path

__all__ = ["cache_dir", "sha256_file", "sync_directory", "write_atomic"]

LONGEST = 200
"""Bytes of a name to which a temporary file's can be added."""


def write_atomic(path: Path, data: str | bytes) -> None:
    """Write a file that after any crash holds the old content or the new, never a part.

    Raises:
        OSError: it can't be written; names the path.
    """
    raw = data.encode() if isinstance(data, str) else data
    # As readable by others as any file that is opened; what `tempfile` makes is not.
    known = path.name if len(os.fsencode(path.name)) <= LONGEST else ""
    temporary = path.with_name(f".{known}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):  # of the file that is meant
            error.filename, error.filename2 = str(path), None
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make renames within a directory durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_dir() -> Path:
    """Where tokenizers, token indexes and trained stage-1 models are kept, by content."""
    chosen = os.environ.get("COLAFLEX_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "colaflex"
