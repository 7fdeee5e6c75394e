"""Files and folders that appear whole or not at all, and what is left of those that did not.

Until it is whole, each has a temporary name, and its writer a lock on it: so nobody else takes it
for what a killed process has left behind.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from colaflex.runtime.lock import leads_to, lock

__all__ = [
    "cache_dir",
    "sha256_file",
    "sweep",
    "sweep_cache",
    "sync_directory",
    "temporary",
    "write_atomic",
]

LONGEST = 200
"""Bytes of a name to which a temporary one's can be added."""

TEMPORARY = re.compile(r"\.(?P<name>.*)\.[0-9a-f]{16}\.tmp")
UNLOCKED = re.compile(r"\.[0-9a-f]{32}\.[a-z0-9_]{8}")
"""Folders of token indexes in the making as older versions named them, without a lock."""

DAY = 24 * 60 * 60.0


def write_atomic(path: Path, data: str | bytes) -> None:
    """Write a file that after any crash holds the old content or the new, never a part.

    Raises:
        OSError: it can't be written, or is no file, such as a folder or device; names the path.
    """
    _refuse_other(path)
    raw = data.encode() if isinstance(data, str) else data
    sweep(path.parent, path.name)
    try:
        with temporary(path) as new:
            with new.open("r+b") as file:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
    except OSError as error:  # of the file that is meant
        error.filename, error.filename2 = str(path), None
        raise
    sync_directory(path.parent)


@contextmanager
def temporary(path: Path, folder: bool = False) -> Iterator[Path]:
    """A new file, or folder, to be filled and renamed to `path`; else it is gone at the end."""
    known = path.name if len(os.fsencode(path.name)) <= LONGEST else ""
    while True:
        new = path.with_name(f".{known}.{secrets.token_hex(8)}.tmp")
        # As readable by others as any file that is opened; what `tempfile` makes is not.
        new.mkdir() if folder else new.touch(exist_ok=False)
        descriptor = _locked(new)
        if descriptor is not None:
            break
    try:
        yield new
    finally:
        _remove(new)
        os.close(descriptor)


def _locked(new: Path) -> int | None:
    """Lock a new file or folder; None where somebody has swept it away before."""
    try:
        descriptor = os.open(new, os.O_RDONLY)
    except FileNotFoundError:
        return None
    with suppress(OSError):  # a file system without locks, where nobody sweeps either
        lock(descriptor, wait=True)
    if leads_to(new, descriptor):
        return descriptor
    os.close(descriptor)
    return None


def sweep(folder: Path, name: str | None = None) -> None:
    """Remove the temporary files and folders of killed processes, of all names or of one."""
    for path in _entries(folder):
        match = TEMPORARY.fullmatch(path.name)
        if match and name in (None, match["name"]):
            _remove_if_left(path)


def sweep_cache(cache: Path) -> None:
    """Remove what killed processes have left in a cache."""
    kinds = _entries(cache)
    for folder in (*kinds, *_entries(cache / "tokenizers")):
        sweep(folder)
    for path in _entries(cache / "index"):
        if UNLOCKED.fullmatch(path.name) and _untouched(path):
            _remove(path)


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _untouched(folder: Path) -> bool:
    """Whether nobody has written in a folder for a day."""
    with suppress(OSError):
        newest = max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
        return time.time() - newest > DAY
    return False


def _remove_if_left(path: Path) -> None:
    """Remove what nobody holds; whoever does so, or where that can't be known, keeps it."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if lock(descriptor):
                _remove(path)
        finally:
            os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(OSError):
        path.unlink(missing_ok=True)


def _refuse_other(path: Path) -> None:
    """Refuse what a file must not take the place of: say /dev/null, for all who use it."""
    try:
        mode = path.stat().st_mode
    except OSError:  # there is none; or whoever writes is told more
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "expected a file, this is a device, pipe or socket", str(path))


def sync_directory(path: Path) -> None:
    """Make renames within a directory durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file's content, in hex; raises OSError for what is no regular file."""
    # Not blocking, or to open a pipe would wait for a writer.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "expected a file, this is a device or pipe", str(path))
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_dir() -> Path:
    """Where tokenizers, token indexes and trained stage-1 models are kept, by content."""
    chosen = os.environ.get("COLAFLEX_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "colaflex"
