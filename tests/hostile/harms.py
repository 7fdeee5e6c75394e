"""Ways in which a file from others can be out of order."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

__all__ = ["HARMS", "JSON_HARMS", "LINKS", "Harm"]

Harm = Callable[[Path, Path], None]
"""(the file, a folder that is somebody else's) -> the file is out of order."""


def _written(content: bytes) -> Harm:
    def harm(path: Path, outside: Path) -> None:
        del outside
        path.unlink(missing_ok=True)
        path.write_bytes(content)

    return harm


def _halved(path: Path, outside: Path) -> None:
    del outside
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])


def _flipped(path: Path, outside: Path) -> None:
    del outside
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def _digit(path: Path, outside: Path) -> None:
    del outside
    raw = bytearray(path.read_bytes())
    place = max(i for i, byte in enumerate(raw) if chr(byte).isdigit())
    raw[place] = ord("7") if raw[place] != ord("7") else ord("8")
    path.write_bytes(raw)


def _pipe(path: Path, outside: Path) -> None:
    del outside
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def _folder(path: Path, outside: Path) -> None:
    del outside
    path.unlink(missing_ok=True)
    path.mkdir()


def _link(target: str) -> Harm:
    def harm(path: Path, outside: Path) -> None:
        path.unlink(missing_ok=True)
        path.symlink_to(target.format(outside=outside, self=path))

    return harm


def _endless(path: Path, outside: Path) -> None:
    """A line of 100 MB; sparse, so that it takes no room."""
    del outside
    with path.open("r+b") as file:
        file.truncate(100 << 20)


HARMS: dict[str, Harm] = {
    "empty": _written(b""),
    "halved": _halved,
    "a flipped bit": _flipped,
    "another digit": _digit,
    "NULs": _written(b"\0" * 1000),
    "no UTF-8": _written(b"\xff\xfe\xfa" * 100),
    "UTF-16": _written("{}\n[]".encode("utf-16")),
    "100 MB": _endless,
}
JSON_HARMS: dict[str, Harm] = {
    "nested without end": _written(b"[" * 200_000),
    "nested maps": _written(b'{"a":' * 200_000),
    "5,000 digits": _written(b'{"schema": ' + b"9" * 5_000 + b"}"),
    "NaN": _written(b'{"schema": NaN}'),
    "a list": _written(b"[]"),
    "a number": _written(b"7"),
    "an empty object": _written(b"{}"),
    "halves of characters": _written(b'{"schema": 1, "name": "\\ud800"}'),
}
LINKS: dict[str, Harm] = {
    "a pipe": _pipe,
    "a folder": _folder,
    "a device without end": _link("/dev/zero"),
    "a link to somebody's file": _link("{outside}/precious.txt"),
    "a link in a circle": _link("{self}"),
}
