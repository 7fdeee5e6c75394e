"""Rows of a file of JSON lines, every complaint with file and line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from colaflex.errors import UserError
from colaflex.files.json_lines import json_object, kind_of, lines_of, text_of
from colaflex.files.reading import MissingFile
from colaflex.hints import nearest

__all__ = ["Row", "read_rows"]


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
        return text_of(self.values, field, self.place)

    def optional(self, field: str) -> str:
        """A field's text, "" where it is missing or null."""
        return "" if self.values.get(field) is None else self.text(field)

    def texts(self, field: str) -> tuple[str, ...]:
        """The texts of a field that holds a list, none where it is missing or null."""
        value = self.values.get(field)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise UserError(
                f"{self.place}: {field}: expected a list of texts, got {kind_of(value)}"
            )
        named = {f"{field}.{index}": each for index, each in enumerate(value)}
        return tuple(text_of(named, name, self.place) for name in named)


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a file, one JSON object a line; empty lines are passed over.

    Raises:
        UserError: the file is missing or holds no rows, or a line is not UTF-8 or no JSON object.
    """
    empty = True
    try:
        for place, raw in lines_of(path):
            if raw.strip():
                empty = False
                yield Row(json_object(raw, place), place)
    except MissingFile as error:
        raise UserError(f"{error}{_neighbour(path)}") from None
    if empty:
        raise UserError(f"{path}: no rows; expected one JSON object a line")


def _neighbour(path: Path) -> str:
    names = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    close = nearest(path.name, names)
    return f"; did you mean {close!r}?" if close else ""
