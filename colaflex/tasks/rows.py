"""Rows of a file of JSON lines, every complaint with file and line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from colaflex.errors import UserError
from colaflex.hints import hint, nearest

__all__ = ["Row", "read_rows"]

KINDS = {bool: "true or false", dict: "a map", float: "a number", int: "a number", list: "a list"}


@dataclass(frozen=True, slots=True)
class Row:
    """One object of a file.

    Attributes:
        values: by field.
        place: `file:line`.
    """

    values: Mapping[str, object]
    place: str

    def text(self, field: str) -> str:
        """A field's text; raises UserError where it is missing or something else."""
        value = self.values.get(field)
        if value is None and field in self.values:
            raise UserError(f"{self.place}: {field}: expected text, got null")
        if value is None:
            raise UserError(
                f"{self.place}: the field {field!r} is missing"
                f"{hint(field, self.values, 'the row has')}"
            )
        return self._text(field, value)

    def optional(self, field: str) -> str:
        """A field's text, "" where it is missing or null."""
        return "" if self.values.get(field) is None else self.text(field)

    def texts(self, field: str) -> tuple[str, ...]:
        """The texts of a field that holds a list, none where it is missing or null."""
        value = self.values.get(field)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise UserError(f"{self.place}: {field}: expected a list of texts, got {_kind(value)}")
        return tuple(self._text(f"{field}.{index}", each) for index, each in enumerate(value))

    def _text(self, field: str, value: object) -> str:
        if not isinstance(value, str):
            raise UserError(f"{self.place}: {field}: expected text, got {_kind(value)}")
        return value


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a file, one JSON object a line; empty lines are passed over.

    Raises:
        UserError: the file is missing or holds no rows, or a line is not UTF-8 or no JSON object.
    """
    found = False
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                if raw.strip():
                    found = True
                    place = f"{path}:{number}"
                    yield Row(_object(raw, place), place)
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file{_neighbour(path)}") from None
    except IsADirectoryError:
        raise UserError(f"{path}: expected a file of JSON lines, this is a folder") from None
    except OSError as error:
        raise UserError(f"{path}: can't be read: {error.strerror or error}") from error
    if not found:
        raise UserError(f"{path}: no rows; expected one JSON object a line")


def _object(raw: bytes, place: str) -> dict[str, object]:
    try:
        value = json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UserError(f"{place}: not UTF-8 (byte {raw[error.start]:#04x})") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{place}: not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise UserError(f"{place}: expected a JSON object, got {_kind(value)}")
    return value


def _kind(value: object) -> str:
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    return "null" if value is None else KINDS[type(value)]


def _neighbour(path: Path) -> str:
    names = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    close = nearest(path.name, names)
    return f"; did you mean {close!r}?" if close else ""
