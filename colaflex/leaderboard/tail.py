"""The last line of a file that grows."""

from __future__ import annotations

from pathlib import Path

__all__ = ["Tail"]

BLOCK = 1 << 16
LONGEST = 200


class Tail:
    """What is appended to a file from now on.

    Args:
        path: of the file, which may not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = path.stat().st_size if path.exists() else 0

    def last(self) -> str:
        """The last whole line since the last call, cut where it is long; "" where there is none."""
        try:
            with self._path.open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(self._read, size - BLOCK))
                raw = file.read()
        except OSError:
            return ""
        whole, end, _ = raw.rpartition(b"\n")
        self._read = size - len(raw) + len(whole) + len(end)
        lines = whole.decode(errors="replace").split("\n")
        said = [line.rpartition("\r")[2].strip() for line in lines]
        return next((line for line in reversed(said) if line), "")[:LONGEST]
