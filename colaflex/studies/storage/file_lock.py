"""A lock that processes share by a file, and that the kernel frees when its holder is killed."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from optuna.storages.journal import JournalFileOpenLock

if sys.platform != "win32":
    import fcntl

__all__ = ["FileLock"]


class FileLock:
    """Held by one thread of one process of those that share the file system.

    It is an flock on a file of its own, which stays when the lock is free. Where there is no
    flock, it is Optuna's lock by an exclusive file, which outlives a killed holder by 30 seconds.

    Args:
        path: of the file; its folder is made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held: int | None = None
        self._portable = JournalFileOpenLock(str(path)) if sys.platform == "win32" else None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def acquire(self) -> None:
        """Wait until the lock is ours."""
        if self._portable is not None:
            self._portable.acquire()
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if self._is_at_path(descriptor):
                    self._held = descriptor
                    return
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)  # it was deleted while we waited: others lock another file

    def release(self) -> None:
        """Free the lock, also where a child process has inherited the descriptor."""
        if self._portable is not None:
            self._portable.release()
            return
        assert self._held is not None
        descriptor, self._held = self._held, None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            os.close(descriptor)

    def _is_at_path(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), self.path.stat())
        except FileNotFoundError:
            return False
