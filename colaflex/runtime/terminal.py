"""The one way out to a terminal: control characters of what is shown are spelled, not obeyed."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

from colaflex.errors import RunFailure

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["OutputFailure", "console", "guarded", "in_json", "say", "shown", "spelled"]

_OBEYED = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]|\r(?!\n)"
)
"""C0 but tabs and line ends, DEL, C1, what turns the direction of text, halves of surrogates."""


class OutputFailure(RunFailure):
    """Standard output can't be written."""


def spelled(text: str) -> str:
    """A text with what a terminal would obey written as escapes, as Python writes them."""
    return _OBEYED.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def in_json(text: str) -> str:
    """A JSON document with what a terminal would obey written as escapes of JSON's own."""
    return _OBEYED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def shown(text: str, stream: TextIO) -> str:
    """A text as it goes to a stream: spelled for a terminal, else as it is."""
    return spelled(text) if stream.isatty() else text


def say(text: str, stream: TextIO | None = None) -> None:
    """Print a line, on stderr by default, for whoever looks at a terminal or keeps a log."""
    stream = stream or sys.stderr
    if stream is not None:  # a process may have none
        print(shown(text, stream), file=stream, flush=True)


def console(stream: TextIO | None = None, **options: Any) -> Console:
    """A console of rich's whose own controls reach the terminal, and nobody else's."""
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class Guarded(Console):
        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterable[Segment]:
            for one in super().render(renderable, options):
                plain = one.control or not self.is_terminal
                yield one if plain else Segment(spelled(one.text), one.style)

    return Guarded(file=stream, highlight=False, **options)


class _Stream:
    """A standard stream: spelled on a terminal, its failures distinct from other files'.

    Args:
        stream: the real one; what it can't encode is spelled too.
        fatal: whether a failure is raised. Nobody could be told that stderr fails.
        spells: whether control characters are spelled.
        failure: why it can't be written, known from the start where there is no stream.
    """

    def __init__(
        self, stream: TextIO, fatal: bool, spells: bool, failure: OSError | None = None
    ) -> None:
        self._stream, self._fatal, self._spells, self._failure = stream, fatal, spells, failure

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @property
    def rich_proxied_file(self) -> _Stream:
        """Where consoles of rich write, whose controls are meant."""
        return _Stream(self._stream, self._fatal, False, self._failure)

    def write(self, text: str) -> int:
        """Write a text; returns its length."""
        if not isinstance(text, str):  # whoever asks whether bytes go here, such as click
            raise TypeError(f"expected a text, got {type(text).__name__}")
        if text:
            self._do(lambda: self._stream.write(spelled(text) if self._spells else text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write texts one after the other."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Hand on what is buffered."""
        if self._failure is None:
            self._do(self._stream.flush)

    def _do(self, action: Callable[[], object]) -> None:
        try:
            if self._failure is None:
                action()
        except OSError as error:
            self._failure = error
            # What is still buffered goes nowhere, also at the interpreter's exit.
            _drop(self._stream)
        if self._failure is not None and self._fatal:
            if isinstance(self._failure, BrokenPipeError):  # the reader has left: no news
                raise self._failure
            reason = self._failure.strerror or str(self._failure)
            raise OutputFailure(f"standard output can't be written: {reason}")


def _drop(stream: TextIO) -> None:
    try:
        number = stream.fileno()
    except (OSError, ValueError):
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)


@contextmanager
def guarded() -> Iterator[None]:
    """Standard output and error as `_Stream`s, as long as a command runs."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _stream(sys.stdout, fatal=True), _stream(sys.stderr, fatal=False)
    try:
        yield
    finally:
        with suppress(OutputFailure, BrokenPipeError):
            sys.stdout.flush()  # or the interpreter would, at its exit, and complain
        sys.stdout, sys.stderr = before


def _stream(stream: TextIO | None, fatal: bool) -> TextIO:
    if isinstance(stream, _Stream):
        return cast("TextIO", stream)
    failure = OSError(errno.EBADF, "it is closed") if stream is None else None
    # Takes the place of the closed one, so that no file is opened there and written into.
    stream = stream or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")
    return cast("TextIO", _Stream(stream, fatal, stream.isatty(), failure))
