"""metrics.jsonl: the append-only record of a run."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from colaflex.files.reading import appending

__all__ = ["MetricsLog"]

log = logging.getLogger("colaflex")


class MetricsLog:
    """Appends lines to a JSONL file; what it holds at a checkpoint survives any crash after it.

    Args:
        path: the file, made when missing.
        keep: bytes to keep: all that the checkpoint knew of. Later lines, and a line that is cut
            short, are removed.

    Raises:
        UserError: it is a link out of its folder, or no regular file.
    """

    def __init__(self, path: Path, keep: int = 0) -> None:
        self.path = path
        appending(path.parent, path.name).close()
        self._file = path.open("r+b", buffering=0)
        self.offset = self._last_line_end(keep)
        self._file.truncate(self.offset)
        self._file.seek(self.offset)
        self._waiting = b""
        self._failing = False

    def _last_line_end(self, keep: int) -> int:
        head = self._file.read(keep)
        end = head.rfind(b"\n") + 1
        if end < keep:
            log.warning("%s: has lost lines that the checkpoint knew of", self.path)
        return end

    def append(self, record: Mapping[str, Any]) -> None:
        """Add one line; on a full disk it waits in memory for the next call, with a warning."""
        self._waiting += json.dumps(record, allow_nan=False).encode() + b"\n"
        try:
            self._write()
        except OSError as error:
            if not self._failing:
                log.warning("%s: cannot be written (%s); going on", self.path, error.strerror)
            self._failing = True

    def _write(self) -> None:
        written = 0
        try:
            while written < len(self._waiting):
                written += self._file.write(self._waiting[written:]) or 0
        except OSError:
            self._file.truncate(self.offset)
            self._file.seek(self.offset)
            raise
        self.offset += written
        self._waiting, self._failing = b"", False

    def sync(self) -> int:
        """Make all lines durable and return the file's length; raises OSError where it cannot."""
        self._write()
        os.fsync(self._file.fileno())
        return self.offset

    def close(self) -> None:
        """Close the file."""
        self._file.close()
