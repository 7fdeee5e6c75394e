"""SIGINT, SIGTERM, SIGHUP: in training finish the step and save; elsewhere stop at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

__all__ = ["Interrupted", "Interrupts", "stopped_by_signals"]

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ENDING = (signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """A run stopped on request; its message says from where it can be resumed. Exit 130."""


class Interrupts:
    """While the context lasts, a first signal is only noted; a second one acts as ever."""

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            self._before = {s: signal.signal(s, self._note) for s in SIGNALS if not _outlived(s)}
        return self

    def __exit__(self, *error: object) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """While the context lasts, SIGTERM and SIGHUP end it as Ctrl-C does; a second one kills.

    Whoever ignores or handles them goes on doing so.
    """
    taken: list[signal.Signals] = []

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        while taken:
            signal.signal(taken.pop(), signal.SIG_DFL)
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        taken += [s for s in ENDING if signal.getsignal(s) is signal.SIG_DFL]
        for number in taken:
            signal.signal(number, stop)
    try:
        yield
    finally:
        while taken:
            signal.signal(taken.pop(), signal.SIG_DFL)


def _outlived(number: signal.Signals) -> bool:
    """Whether this process is to outlive its terminal, as under nohup."""
    return number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN
