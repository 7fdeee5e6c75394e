"""Files of text and of JSON lines from others, line by line, every complaint with its place."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from colaflex.errors import UserError
from colaflex.files.formats import HEAD_BYTES, refuse_format
from colaflex.files.reading import open_regular, parse_json
from colaflex.hints import hint

__all__ = ["JSON_LINES", "MAX_LINE", "json_object", "kind_of", "lines_of", "open_text", "text_of"]

JSON_LINES = (".jsonl", ".ndjson")
"""What the names of files of JSON lines end in, in small letters or capitals."""

MAX_LINE = 16 << 20
"""Bytes of a line of JSON, which has to be held whole, at most."""

_KINDS = {bool: "true or false", dict: "a map", float: "a number", int: "a number", list: "a list"}


def open_text(path: Path) -> BinaryIO:
    """Open a file of text for reading.

    Raises:
        MissingFile: there is none.
        UserError: it can't be read, is no regular file, or holds anything but text.
    """
    file = open_regular(path)
    try:
        refuse_format(path, file.read(HEAD_BYTES))
        file.seek(0)
    except OSError as error:
        file.close()
        raise UserError(f"{path}: can't be read: {error.strerror or error}") from None
    except UserError:
        file.close()
        raise
    return file


def lines_of(path: Path, longest: int = MAX_LINE) -> Iterator[tuple[str, bytes]]:
    """The lines of a file of text, each with its place `file:line`; a byte-order mark is dropped.

    Raises:
        UserError: as `open_text`, or a line is longer than so many bytes.
    """
    number = 0
    with open_text(path) as file:
        try:
            while raw := file.readline(longest + 1):
                number += 1
                if len(raw) > longest:
                    raise UserError(f"{path}:{number}: the line is longer than {longest:,} bytes")
                mark = codecs.BOM_UTF8 if number == 1 else b""
                yield f"{path}:{number}", raw.removeprefix(mark)
        except OSError as error:
            raise UserError(f"{path}: can't be read: {error.strerror or error}") from None


def json_object(line: str | bytes, place: str) -> dict[str, Any]:
    """The JSON object of a line; raises UserError, which names the place, where it is none."""
    try:
        text = line if isinstance(line, str) else line.decode()
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise UserError(f"{place}: not UTF-8 (byte {byte:#04x})") from None
    value = parse_json(text, place)
    if not isinstance(value, dict):
        raise UserError(f"{place}: expected a JSON object, got {kind_of(value)}")
    return value


def text_of(item: Mapping[str, object], field: str, place: str) -> str:
    """The text of a row; raises UserError, which names the place, where it has none.

    A null is no text, wherever rows are read: who writes them leaves the row out, or gives it an
    empty text.
    """
    if field not in item:
        raise UserError(
            f"{place}: the field {field!r} is missing{hint(field, item, 'the row has')}"
        )
    value = item[field]
    if isinstance(value, str):
        # Escapes such as \ud800 alone are no characters and have no UTF-8.
        return value.encode("utf-8", "replace").decode("utf-8")
    advice = "; leave the row out, or give it an empty text" if value is None else ""
    raise UserError(f"{place}: {field}: expected text, got {kind_of(value)}{advice}")


def kind_of(value: object) -> str:
    """What a value of JSON is, in words."""
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    return "null" if value is None else _KINDS.get(type(value), type(value).__name__)
