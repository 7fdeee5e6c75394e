"""metrics.jsonl: the append-only record of a run, and the means that go into it."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from colaflex.errors import RunFailure
from colaflex.files.reading import appending
from colaflex.training.distributed import Processes

__all__ = ["MetricsLog", "Window"]

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


class Window:
    """Values of the steps since the last line, read from the device only when wanted.

    What is added for one step and name is summed, over micro-batches and over processes.
    """

    def __init__(self, stage: str, processes: Processes) -> None:
        self._stage = stage
        self._processes = processes
        self._unread: list[tuple[int, tuple[str, ...], Tensor]] = []
        self.rows: list[dict[str, float]] = []

    def add(self, step: int, names: tuple[str, ...], values: Tensor) -> None:
        """Keep the values of a step; every process adds the same names in the same order.

        Args:
            step: its number in the record, where the first step is 1.
            names: of the values.
            values: (names,), on the device.
        """
        self._unread.append((step, names, values))

    def read(self) -> None:
        """Fetch what was kept.

        Raises:
            RunFailure: a value is not finite; names stage, step and term.
        """
        if not self._unread:
            return
        flat = iter(self._processes.sum(torch.cat([v for _, _, v in self._unread])).tolist())
        rows: dict[int, dict[str, float]] = {}
        for step, names, _ in self._unread:
            row = rows.setdefault(step, {})
            for name in names:
                value = next(flat)
                if not math.isfinite(value):
                    raise RunFailure(
                        f"stage {self._stage}, step {step}: {name} is {value}; training stops, "
                        "the last good checkpoint is kept"
                    )
                row[name] = row.get(name, 0.0) + value  # micro-batches give shares of a sum
        self._unread = []
        self.rows.extend(rows.values())

    def means(self) -> dict[str, float]:
        """Mean of each value over the steps that had it; the window is empty afterwards."""
        self.read()
        names = dict.fromkeys(name for row in self.rows for name in row)
        columns = {name: [row[name] for row in self.rows if name in row] for name in names}
        self.rows = []
        return {name: math.fsum(column) / len(column) for name, column in columns.items()}
