"""What others may watch of a training run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

__all__ = ["Callbacks", "NoCallbacks", "Record"]

Record = Mapping[str, Any]
"""One line of metrics.jsonl."""


class Callbacks(Protocol):
    """The moments of a training run, on the process that writes its files."""

    def started(self) -> None:
        """Training begins or is resumed."""
        ...  # pragma: no cover

    def step(self, record: Record) -> None:
        """A line has been added to metrics.jsonl."""
        ...  # pragma: no cover

    def checkpoint(self, path: Path) -> None:
        """A checkpoint has been written and verified."""
        ...  # pragma: no cover

    def stage_ended(self, result: Record) -> None:
        """A stage is done, its closing work included; what it took, by name."""
        ...  # pragma: no cover

    def ended(self, result: Record) -> None:
        """The last stage is done."""
        ...  # pragma: no cover


class NoCallbacks:
    """Watches nothing."""

    def started(self) -> None:
        """Nothing."""

    def step(self, record: Record) -> None:
        """Nothing."""

    def checkpoint(self, path: Path) -> None:
        """Nothing."""

    def stage_ended(self, result: Record) -> None:
        """Nothing."""

    def ended(self, result: Record) -> None:
        """Nothing."""
