"""Optuna's journal with a lock that a killed holder frees, mended where a line is torn.

Optuna's own locks hold everybody up for 30 seconds then, and a torn line makes its journal
unreadable for good.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Generator
from io import BytesIO
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock

from colaflex.errors import UserError
from colaflex.files.reading import appending, open_regular
from colaflex.files.writing import write_atomic
from colaflex.runtime.lock import FileLock

__all__ = ["FlockLock", "WholeLines", "mend", "open_journal", "read_journal", "torn_path"]

log = logging.getLogger("colaflex")

BLOCK = 1 << 12
PATIENCE = 0.05
"""Seconds after which a torn tail is no longer taken for a line that is being written."""
RECORD = b'{"op_code"'


class FlockLock(BaseJournalFileLock):
    """The lock of a journal: freed by the kernel at a kill, and whoever gets it cuts a torn tail.

    The lock is an flock on `PATH.flock`. It is not `PATH.lock`, which Optuna's own locks make and
    delete: other programs that write to the journal would wait for it in vain.

    Args:
        path: of the journal.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(path.with_name(f"{path.name}.flock"))

    def acquire(self) -> bool:
        """Wait for the lock, and leave the journal ending with a whole line."""
        self._lock.acquire()
        try:
            _cut_torn_tail(self.path)
        except BaseException:
            self._lock.release()
            raise
        return True

    def release(self) -> None:
        """Free the lock; what was appended under it may be torn, and is looked at next time."""
        self._lock.release()


class WholeLines(JournalFileBackend):
    """The file of a journal; a torn tail is cut before it is read, too.

    Optuna's reader passes over a last line that is no JSON, but not over one that is no text, or
    that is JSON and no record.

    Args:
        path: of the journal.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), lock_obj=FlockLock(path))
        self._path = path

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """The records from a number on."""
        self.line = log_number_from
        if _end_of_whole_lines(self._path) != _size(self._path):
            lock = FlockLock(self._path)  # somebody is writing, or has left a part of a line
            lock.acquire()
            lock.release()
        for record in super().read_logs(log_number_from):
            self.line += 1
            yield record


class LinesAsTheyAre(BaseJournalBackend):
    """The whole lines of a journal as they are at first; it is neither locked nor mended.

    Args:
        path: of the journal.
    """

    def __init__(self, path: Path) -> None:
        self._path, self.line = path, 0

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """All records, once; a line that is none is passed over, as mending would."""
        if log_number_from:
            return
        with open_regular(self._path) as file:
            for self.line, text in enumerate(file, 1):
                if whole := _whole_part(text):
                    yield json.loads(whole)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Refused."""
        raise UserError(f"{self._path}: is only looked at")


def open_journal(path: Path) -> JournalStorage:
    """The storage in a journal, made if missing, mended if broken.

    Raises:
        UserError: it is another kind of file, or can't be read or written.
    """
    try:
        if path.is_dir():
            raise UserError(f"the journal {path} can't be opened: it is a folder")
        if path.exists() and not path.is_file():
            raise UserError(f"the journal {path} can't be opened: it is a pipe or device")
        path.parent.mkdir(parents=True, exist_ok=True)
        _check_is_journal(path)
        return _open(path)
    except OSError as error:
        why = error.strerror or error
        raise UserError(f"the journal {path} can't be opened: {why}") from None


def read_journal(path: Path) -> JournalStorage:
    """The storage in a journal, to be looked at: nothing is written, not even beside it.

    Raises:
        UserError: it is another kind of file, or can't be read.
    """
    _check_is_journal(path)
    return _storage(LinesAsTheyAre(path), path)


def _check_is_journal(path: Path) -> None:
    if not path.exists():
        return
    with open_regular(path) as file:
        begin = file.read(len(RECORD))
    if not RECORD.startswith(begin):
        message = "it is not a journal of Optuna; name another file, or a new one"
        raise UserError(f"{path}: {message}")


def _open(path: Path) -> JournalStorage:
    lock = FlockLock(path)
    lock.acquire()  # cuts a torn tail
    lock.release()
    try:
        return JournalStorage(WholeLines(path))
    except Exception:  # broken lines, or others, which stay as they are
        mend(path)
        return _storage(WholeLines(path), path)


def _storage(lines: WholeLines | LinesAsTheyAre, path: Path) -> JournalStorage:
    """What the lines say; raises UserError for one that says nothing that can be."""
    try:
        return JournalStorage(lines)
    except OSError as error:
        raise UserError(f"{path}: can't be read: {error.strerror}") from None
    except Exception as error:  # whatever a value of another kind leads to in Optuna
        why = str(error) or "nothing like it is known"
        raise UserError(
            f"{path}:{lines.line}: no record of a study ({type(error).__name__}: {why}); restore "
            "the journal from a copy, or take this line out"
        ) from None


def mend(path: Path) -> int:
    """Take lines that can't be read out of a journal: how many.

    A program without our lock may append to a torn tail: then a part of a line and a whole one
    share a line, and Optuna refuses all that follows. What is whole stays where it is, what is not
    is kept in `PATH.torn`. Open readers go on: none has got past a broken line.
    """
    lock = FlockLock(path)
    lock.acquire()
    try:
        whole_lines, torn = bytearray(), []
        for line in BytesIO(path.read_bytes()):
            whole = _whole_part(line)
            whole_lines += whole
            if len(whole) < len(line):
                torn.append(line[: len(line) - len(whole)])
        if torn:
            _keep_torn(path, b"\n".join(torn))
            write_atomic(path, bytes(whole_lines))
            log.warning("%s: %d broken lines moved to %s", path, len(torn), torn_path(path))
        return len(torn)
    finally:
        lock.release()


def torn_path(path: Path) -> Path:
    """Where the torn parts of a journal are kept."""
    return path.with_name(f"{path.name}.torn")


def _cut_torn_tail(path: Path) -> None:
    """Move what follows the last whole line to `PATH.torn`."""
    size = _size(path)
    if _end_of_whole_lines(path) == size:
        return
    # Programs that do not know our lock may be just writing.
    time.sleep(PATIENCE)
    while size != (now := _size(path)):
        size = now
        time.sleep(PATIENCE)
    while (end := _end_of_whole_lines(path)) < _size(path):
        with path.open("r+b") as file:
            file.seek(end)
            last = file.read()
            whole = _whole_part(last)
            torn = last[: len(last) - len(whole)]
            _keep_torn(path, torn)
            file.seek(end)
            file.write(whole)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
        log.warning("%s: %d torn bytes moved to %s", path, len(torn), torn_path(path))


def _end_of_whole_lines(path: Path) -> int:
    """Offset behind the last line, or before it where it is no whole JSON object."""
    size = _size(path)
    if not size:
        return 0
    with path.open("rb") as file:
        tail, start = b"", size
        while start and b"\n" not in tail[:-1]:
            step = min(max(BLOCK, len(tail)), start)
            start -= step
            file.seek(start)
            tail = file.read(step) + tail
    begin = tail[:-1].rfind(b"\n") + 1
    last = tail[begin:]
    return size if last.endswith(b"\n") and _is_record(last) else start + begin


def _whole_part(line: bytes) -> bytes:
    """The record at the end of a line: all of it, a part, or nothing."""
    if not line.endswith(b"\n"):
        return b""
    begin = 0
    while begin >= 0:
        if _is_record(line[begin:]):
            return line[begin:]
        begin = line.find(RECORD, begin + 1)
    return b""


def _is_record(line: bytes) -> bool:
    try:
        value: Any = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and "op_code" in value


def _keep_torn(path: Path, torn: bytes) -> None:
    with appending(path.parent, torn_path(path).name) as file:
        file.write(torn + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
