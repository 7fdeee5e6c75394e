"""Which failures are the user's or the machine's, and what is said of them."""

from __future__ import annotations

import errno
import os
import re

from colaflex.errors import RunFailure, UserError
from colaflex.runtime.terminal import say

__all__ = ["failure", "is_request", "reason", "report_failure"]

_WORDS = {
    errno.ENOENT: "there is no such file or folder",
    errno.EEXIST: "expected a folder, there is a file of this name",
    errno.EISDIR: "expected a file, this is a folder",
    errno.ENOTDIR: "a part of this path is no folder",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ELOOP: "its symbolic links lead in a circle",
    errno.ENOTEMPTY: "the folder is not empty",
}
"""Of a request that can't be met. Others, such as a full disk, befall a right request."""

_DENIED = (errno.EINVAL, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENXIO, errno.ENODEV)

_MACHINE = re.compile(
    r"out of memory|can't allocate memory|not enough memory|CUDA error|CUDA driver|"
    r"NVIDIA driver|not compiled with CUDA|invalid device ordinal|Storage size calculation",
    re.IGNORECASE,
)
"""What torch says of a machine that lacks something."""


def report_failure(error: Exception, label: str = "") -> int:
    """Say on stderr what failed, a defect with its traceback; returns the exit code."""
    known = failure(error)
    if known is None:
        import traceback

        say("".join(traceback.format_exception(error)).rstrip())
        return 1
    say(f"Error: {label}{known[0]}")
    return known[1]


def failure(error: Exception) -> tuple[str, int] | None:
    """What is said of a failure, and the exit code; None of a defect."""
    if isinstance(error, UserError | RunFailure):
        return str(error), 2 if isinstance(error, UserError) else 1
    if isinstance(error, OSError):
        return _of_system(error)
    if isinstance(error, UnicodeEncodeError):
        return f"{error.object[:80]!r} is no text: it holds halves of characters", 2
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 at byte {error.start}: {error.object[:80]!r}", 2
    if isinstance(error, MemoryError):
        return "this machine has too little memory", 1
    if isinstance(error, ValueError) and "embedded null" in str(error):
        return "no path has a NUL character", 2
    if isinstance(error, RuntimeError) and str(error).startswith("Symlink loop"):
        return f"{_first_line(error)}: {_WORDS[errno.ELOOP]}", 2
    if isinstance(error, RuntimeError) and "home directory" in str(error):
        return "there is no home folder: set HOME, and COLAFLEX_CACHE to a folder for caches", 2
    if isinstance(error, RuntimeError | AssertionError) and _MACHINE.search(str(error)):
        return _first_line(error), 1
    return None


def _of_system(error: OSError) -> tuple[str, int]:
    named = error.filename if error.filename2 is None else error.filename2
    place = f"{os.fsdecode(named)}: " if isinstance(named, str | bytes) else ""
    return f"{place}{reason(error)}", 2 if is_request(error) else 1


def reason(error: OSError) -> str:
    """Why something couldn't be read or written."""
    return _WORDS.get(error.errno or 0) or error.strerror or _first_line(error)


def is_request(error: OSError) -> bool:
    """Whether what was asked for can't be, whatever the machine's state."""
    return error.errno in _WORDS or error.errno in _DENIED


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
