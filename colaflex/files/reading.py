"""Files from others: regular files of bounded size, read whole, never out of their folder."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from colaflex.errors import UserError, WrongKind

__all__ = [
    "MAX_JSON",
    "NO_VERIFY",
    "MissingFile",
    "appending",
    "inside",
    "open_regular",
    "parse_json",
    "read_bytes",
    "read_json",
    "read_text",
    "resolved",
    "user_path",
    "verifying",
]

MAX_JSON = 256 << 20
"""Bytes; far more than any file of a run of ours has."""

NO_VERIFY = "COLAFLEX_NO_VERIFY"
"""Environment variable: if set, large files are used without comparing them with their digests."""

Pairs = list[tuple[str, Any]]

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def user_path(text: str | os.PathLike[str]) -> Path:
    """A path as users write it, `~` and `~name` put for home folders.

    Raises:
        UserError: it is none, is empty, has a NUL character, or there is no such user.
    """
    path = os.fspath(text) if isinstance(text, str | os.PathLike) else text
    if not isinstance(path, str):
        raise WrongKind(f"expected a path, got {path!r:.60}")
    if not path:
        raise UserError("a path is empty; `.` is this folder")
    if "\0" in path:
        raise UserError(f"{path!r}: no path has a NUL character")
    try:
        return Path(path).expanduser()
    except RuntimeError:
        name = Path(path).parts[0]
        raise UserError(f"{path}: there is no home folder of {name}") from None


def resolved(path: Path) -> Path:
    """A path with its links followed; raises UserError where they lead in a circle."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        raise UserError(f"{path}: its symbolic links lead in a circle") from None


class MissingFile(UserError):
    """There is no such file."""


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading, at once, and only where it is one: no pipe, device or folder.

    Raises:
        MissingFile: there is none.
        UserError: it can't be opened, or it is no regular file.
    """
    try:
        # Not blocking, or to open a pipe would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        _refuse(path, error)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    kind = next((name for test, name in _KINDS if test(mode)), "no regular file")
    raise UserError(f"{path}: expected a file, this is {kind}")


def _refuse(path: Path, error: OSError | ValueError) -> NoReturn:
    if not isinstance(error, OSError):
        raise UserError(f"{str(path)!r}: no path has a NUL character") from None
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        raise MissingFile(f"{path}: there is no such file") from None
    reasons = {errno.ELOOP: "its symbolic links lead in a circle", errno.ENXIO: "this is a socket"}
    reason = reasons.get(error.errno or 0, error.strerror or error)
    raise UserError(f"{path}: can't be read: {reason}") from None


def read_bytes(path: Path, limit: int) -> bytes:
    """The content of a regular file of at most `limit` bytes.

    Raises:
        MissingFile: there is none.
        UserError: it can't be read, is no regular file, or is larger.
    """
    with open_regular(path) as file:
        try:
            size = os.fstat(file.fileno()).st_size
            raw = b"" if size > limit else file.read(limit + 1)
        except OSError as error:
            _refuse(path, error)
    if max(size, len(raw)) > limit:
        raise UserError(f"{path}: has {size:,} bytes, at most {limit:,} are read")
    return raw


def read_text(path: Path, limit: int) -> str:
    """The text of a UTF-8 file of at most `limit` bytes, a byte-order mark dropped.

    Raises:
        MissingFile: there is none.
        UserError: as `read_bytes`, or it is not UTF-8.
    """
    raw = read_bytes(path, limit)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}:{line}: not UTF-8 (byte {raw[error.start]:#04x} at offset {error.start}); "
            "save the file as UTF-8"
        ) from None


def parse_json(
    text: str | bytes, place: str | Path, pairs: Callable[[Pairs], Any] | None = None
) -> Any:
    """The value of a JSON document; raises UserError, which names the place, where it is none.

    NaN and Infinity, which JSON doesn't have, are refused, and so is nesting without end.

    Args:
        text: the document.
        place: where it is from.
        pairs: makes an object of its keys and values; a ValueError refuses them.
    """
    try:
        return json.loads(text, parse_constant=_no_constant, object_pairs_hook=pairs)
    except RecursionError:
        raise UserError(f"{place}: not JSON that can be read: nested too deeply") from None
    except ValueError as error:  # bad UTF-8 and integers of too many digits as well
        raise UserError(f"{place}: not readable as JSON: {error}") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def read_json(path: Path, limit: int = MAX_JSON) -> Any:
    """The value of a JSON file.

    Raises:
        MissingFile: there is none.
        UserError: as `read_bytes`, or it is not JSON.
    """
    return parse_json(read_bytes(path, limit), path)


def appending(folder: Path, name: str) -> BinaryIO:
    """Open a file in a folder to append to it, made where it is missing, its folder too.

    Raises:
        OSError: it can't be written.
        UserError: it is no regular file, or a link leads out of the folder.
    """
    path = inside(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    file = os.fdopen(os.open(path, flags, 0o666), "ab")
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise UserError(f"{path}: expected a file, this is a pipe or device")


def verifying() -> bool:
    """Whether large files are compared with their digests before they are used."""
    return not os.environ.get(NO_VERIFY)


def inside(folder: Path, name: str) -> Path:
    """The path of something in a folder; raises UserError where a link leads out of the folder.

    What is written, deleted or read in a folder from others stays in that folder.
    """
    path = folder / name
    try:
        home, there = folder.resolve(), path.resolve()
    except (OSError, RuntimeError, ValueError):
        raise UserError(f"{path}: its symbolic links lead in a circle") from None
    if not there.is_relative_to(home):
        raise UserError(f"{path}: is a link out of its folder, to {there}; it is not followed")
    return path
