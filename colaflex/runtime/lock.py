"""Locks on files and folders (flock), which the kernel frees when their holder is killed."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Self

__all__ = ["FileLock", "is_locked", "leads_to", "lock"]


class FileLock:
    """A lock on a file of its own, held by one thread of one process of those that share it.

    The file stays when the lock is free. Optuna's own file locks outlive a killed holder by 30
    seconds.

    Args:
        path: of the file; its folder is made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *error: object) -> None:
        self.release()

    def acquire(self, wait: bool = True) -> bool:
        """Wait until the lock is ours; without `wait`, False where another holds it."""
        while True:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                free = lock(descriptor, wait)
            except BaseException:
                os.close(descriptor)
                raise
            if free and leads_to(self.path, descriptor):
                self._descriptor = descriptor
                return True
            os.close(descriptor)
            if not free:
                return False
            # It was deleted while we waited, perhaps its folder too: others lock another file.

    def release(self) -> None:
        """Free the lock, also where a child process has inherited the descriptor."""
        assert self._descriptor is not None
        descriptor, self._descriptor = self._descriptor, None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            os.close(descriptor)


def lock(descriptor: int, wait: bool = False) -> bool:
    """Lock an open file or folder until it is closed; False where another holds it.

    Args:
        descriptor: of the file or folder.
        wait: until it is free.

    Raises:
        OSError: its file system has no locks.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def is_locked(folder: Path) -> bool:
    """Whether another process holds a folder; not of one that isn't there."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        return not lock(descriptor)
    finally:
        os.close(descriptor)


def leads_to(path: Path, descriptor: int) -> bool:
    """Whether a path is still that of an open file or folder."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except OSError:
        return False
