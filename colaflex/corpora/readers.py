"""Streaming readers of text, JSON lines and parquet: bounded memory, errors with their place."""

from __future__ import annotations

import codecs
import importlib.util
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from colaflex.errors import UserError
from colaflex.files.json_lines import json_object, lines_of, open_text, text_of
from colaflex.files.reading import open_regular
from colaflex.hints import hint

__all__ = ["EncodingErrors", "read_json_lines", "read_parquet", "read_pieces", "read_text"]

EncodingErrors = Literal["error", "replace", "skip"]

CHUNK_BYTES = 1 << 20
ROWS_AT_ONCE = 128  # of parquet

_POLICY = {"error": "strict", "replace": "replace", "skip": "ignore"}
_SEPARATOR = {"line": re.compile(r"\n"), "blank_line": re.compile(r"\n(?:[^\S\n]*\n)+")}


def read_text(path: Path, errors: EncodingErrors) -> Iterator[str]:
    """A file's text in chunks, any line end as a newline, without byte-order mark.

    Raises:
        UserError: the file can't be read or holds anything but text, or (errors = "error") isn't
            UTF-8.
    """
    decoder = codecs.getincrementaldecoder("utf-8-sig")(_POLICY[errors])
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    for offset, raw in _chunks(path):
        pending = len(decoder.getstate()[0])
        try:
            text = decoder.decode(raw, final=not raw)
        except UnicodeDecodeError as error:
            raise _not_utf8(path, offset - pending + error.start, error) from error
        yield newlines.decode(text, final=not raw)


def _chunks(path: Path) -> Iterator[tuple[int, bytes]]:
    """The bytes of a file of text in pieces, each with its offset; the last one is empty."""
    offset = 0
    with open_text(path) as file:
        while True:
            try:
                raw = file.read(CHUNK_BYTES)
            except OSError as error:
                raise UserError(f"{path}: can't be read: {error.strerror or error}") from None
            if (at := raw.find(b"\0")) >= 0:
                raise UserError(
                    f"{path}: byte {offset + at} is a NUL, which no text has; take it out, or "
                    "give another file"
                )
            yield offset, raw
            if not raw:
                return
            offset += len(raw)


def _not_utf8(path: Path | str, offset: int, error: UnicodeDecodeError) -> UserError:
    byte = error.object[error.start]
    return UserError(
        f"{path}: byte {offset} (0x{byte:02x}) is not UTF-8: {error.reason}; convert the file, or "
        "set corpus.encoding_errors to replace or skip"
    )


def read_pieces(
    path: Path, documents: str, max_characters: int, errors: EncodingErrors
) -> Iterator[Iterator[str]]:
    """The documents of a text file, each as the pieces it is cut into.

    Each document's pieces have to be read before the next document.

    Args:
        path: the file.
        documents: "file", "line" or "blank_line".
        max_characters: most characters of a piece.
        errors: what to do with bytes that aren't UTF-8.
    """
    marked = _cut(read_text(path, errors), _SEPARATOR.get(documents), max_characters)
    for piece, last in marked:
        if last:
            # The last document of a file has a newline behind it, the others none.
            yield iter((piece.strip("\n") if documents == "blank_line" else piece,))
        else:
            yield _whole(piece, marked)


def _whole(first: str, marked: Iterator[tuple[str, bool]]) -> Iterator[str]:
    yield first
    for piece, last in marked:
        yield piece
        if last:
            return


def _cut(
    chunks: Iterator[str], separator: re.Pattern[str] | None, size: int
) -> Iterator[tuple[str, bool]]:
    """Pieces of documents, and of each whether its document ends with it."""
    rest = ""
    for chunk in chunks:
        rest += chunk
        if separator is not None:
            *ended, rest = separator.split(rest)
            for document in ended:
                yield from _bounded(document, size)
        # A separator across the cut ends this document a piece later, which is no harm.
        cut = (len(rest) - 1) // size * size if len(rest) > size else 0
        yield from ((rest[start : start + size], False) for start in range(0, cut, size))
        rest = rest[cut:]
    yield from _bounded(rest, size)


def _bounded(document: str, size: int) -> Iterator[tuple[str, bool]]:
    for start in range(0, max(1, len(document)), size):
        yield document[start : start + size], start + size >= len(document)


def read_json_lines(path: Path, field: str, errors: EncodingErrors) -> Iterator[str]:
    """The text of each JSON object, one a line.

    Raises:
        UserError: with file and line, where a line is no object with that field of text.
    """
    for place, raw in lines_of(path):
        try:
            line = raw.decode("utf-8", _POLICY[errors])
        except UnicodeDecodeError as error:
            raise _not_utf8(place, error.start, error) from error
        if line.strip():
            yield text_of(json_object(line, place), field, f"{place} (corpus.field)")


def read_parquet(path: Path, field: str, errors: EncodingErrors) -> Iterator[str]:
    """The texts of one column of a parquet file, a batch of rows at a time.

    Raises:
        UserError: pyarrow is missing, the file is none, it has no such column of text, or a row
            holds none.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise UserError(f"{path}: parquet needs pyarrow: pip install 'colaflex[parquet]'")
    import pyarrow
    from pyarrow import parquet

    try:
        with open_regular(path) as raw, parquet.ParquetFile(raw) as file:
            _column(path, field, file.schema_arrow)
            number = 0
            for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, columns=[field]):
                # As bytes: what is said to be UTF-8 may not be.
                for value in batch.column(0).cast(pyarrow.large_binary()).to_pylist():
                    yield _row_text(value, field, f"{path}, row {number}", errors)
                    number += 1
    except (OSError, pyarrow.ArrowException) as error:
        raise UserError(f"{path}: not readable as parquet: {error}") from error


def _column(path: Path, field: str, schema: Any) -> None:
    """Refuse a column that there is not, or twice, or that holds no text."""
    names = list(schema.names)
    if field not in names:
        raise UserError(f"{path}: no column {field!r}{hint(field, names, 'it has')} (corpus.field)")
    if names.count(field) > 1:
        raise UserError(
            f"{path}: {names.count(field)} columns are called {field!r}; write the file with one"
        )
    kind = schema.field(field).type
    if str(kind) not in ("string", "large_string", "string_view"):
        raise UserError(f"{path}: column {field!r} holds {kind}, expected strings (corpus.field)")


def _row_text(value: bytes | None, field: str, place: str, errors: EncodingErrors) -> str:
    try:
        text = None if value is None else value.decode("utf-8", _POLICY[errors])
    except UnicodeDecodeError as error:
        raise _not_utf8(place, error.start, error) from error
    return text_of({field: text}, field, f"{place} (corpus.field)")
