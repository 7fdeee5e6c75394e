"""Progress on stderr: a live bar on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from colaflex.runtime import terminal
from colaflex.training.watcher import Record, Watcher

__all__ = ["LineProgress", "LiveProgress", "progress_on", "shown"]


class LineProgress(Watcher):
    """A plain line at the beginning, every `seconds`, and at the end of a stage.

    What is counted has none at its beginning.
    """

    def __init__(self, stream: TextIO, seconds: float = 10.0) -> None:
        self._stream = stream
        self._seconds = seconds
        self._figures = ""
        self._counted = ""

    def begin(self, stage: str, done: int, total: int) -> None:
        """Print where the stage stands."""
        self._stage, self._first, self._total, self._figures = stage, done, total, ""
        self._began = time.monotonic()
        self._next = self._began + self._seconds
        terminal.say(f"{stage}: step {done} of {total}", self._stream)

    def advance(self, done: int) -> None:
        """Print a line if it is time for one."""
        now = time.monotonic()
        if now < self._next and done < self._total:
            return
        self._next = now + self._seconds
        left = (now - self._began) / max(1, done - self._first) * (self._total - done)
        line = f"{self._stage}: step {done} of {self._total}{self._figures}, {_clock(left)} left"
        terminal.say(line, self._stream)

    def record(self, record: Record) -> None:
        """Keep the figures for the next line."""
        self._figures = ", " + _figures(record)

    def count(self, what: str, done: int, total: int, unit: str) -> None:
        """Print a line if it is time for one, or the end."""
        now = time.monotonic()
        if what != self._counted:
            self._counted, self._next = what, now + self._seconds
        if now < self._next and done < total:
            return
        self._next = now + self._seconds
        terminal.say(f"{what}: {done} of {total} {unit}", self._stream)
        if done >= total:
            self._counted = ""


class LiveProgress(Watcher):
    """A bar that is redrawn in place; one of what is counted goes when that is done.

    Args:
        stream: a terminal.
        stays: whether bars stay on it when training is over.
    """

    def __init__(self, stream: TextIO, stays: bool = True) -> None:
        self._stream, self._stays = stream, stays
        self._bars: Any = None
        self._task: Any = None
        self._counted: tuple[str, Any] | None = None
        self._trains = False

    def begin(self, stage: str, done: int, total: int) -> None:
        """Start a bar; those of earlier stages stay above it."""
        self._show()
        self._trains = True
        self._task = self._bars.add_task(stage, total=total, completed=done, figures="")

    def advance(self, done: int) -> None:
        """Move the bar."""
        self._bars.update(self._task, completed=done)

    def record(self, record: Record) -> None:
        """Show the figures."""
        self._bars.update(self._task, figures=_figures(record))

    def end(self) -> None:
        """Leave the terminal as it was."""
        self._forget_counted()
        if self._bars is not None:
            self._bars.stop()
        self._bars, self._trains = None, False

    def count(self, what: str, done: int, total: int, unit: str) -> None:
        """Move a bar that is there as long as it counts."""
        if self._counted is None or self._counted[0] != what:
            self._forget_counted()
            self._show(transient=True)
            self._counted = what, self._bars.add_task(what, total=total, figures=unit)
        self._bars.update(self._counted[1], completed=done)
        if done >= total:
            self._forget_counted()

    def _forget_counted(self) -> None:
        if self._counted is None:
            return
        self._bars.remove_task(self._counted[1])
        self._counted = None
        if not self._trains:
            self.end()

    def _show(self, transient: bool = False) -> None:
        if self._bars is None:
            self._bars = _bars(self._stream, transient or not self._stays)
            self._bars.start()


def _bars(stream: TextIO, transient: bool) -> Any:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}", markup=False),
        TimeRemainingColumn(),
        console=terminal.console(stream),
        refresh_per_second=4,
        transient=transient,
    )


def progress_on(stream: TextIO | None = None, stays: bool = True) -> Watcher:
    """What suits a stream (stderr by default): a live bar on a terminal, else plain lines."""
    stream = stream or sys.stderr
    return LiveProgress(stream, stays) if stream.isatty() else LineProgress(stream)


@contextmanager
def shown(stream: TextIO | None = None, stays: bool = True) -> Iterator[Watcher]:
    """`progress_on`, which leaves the terminal as it was, whatever happens."""
    progress = progress_on(stream, stays)
    try:
        yield progress
    finally:
        progress.end()


def _figures(record: Record) -> str:
    return f"loss {record['loss']:.4f}, {record['tokens_per_second']:,.0f} tokens/s"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
