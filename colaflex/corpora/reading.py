"""Streaming readers of text, JSON lines and parquet: bounded memory, errors with their place."""

from __future__ import annotations

import codecs
import difflib
import importlib.util
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from colaflex.errors import UserError

__all__ = ["EncodingErrors", "read_json_lines", "read_parquet", "read_pieces", "read_text"]

EncodingErrors = Literal["error", "replace", "skip"]

CHUNK_BYTES = 1 << 20
# A JSON object has to be read whole; a longer line is refused rather than held in memory.
MAX_JSON_LINE_BYTES = 64 << 20

_POLICY = {"error": "strict", "replace": "replace", "skip": "ignore"}
_SEPARATOR = {"line": re.compile(r"\n"), "blank_line": re.compile(r"\n(?:[^\S\n]*\n)+")}


def read_text(path: Path, errors: EncodingErrors) -> Iterator[str]:
    """A file's text in chunks, any line end as a newline, without byte-order mark.

    Raises:
        UserError: the file can't be read, or (errors = "error") isn't UTF-8.
    """
    decoder = codecs.getincrementaldecoder("utf-8-sig")(_POLICY[errors])
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    offset = 0
    try:
        with path.open("rb") as file:
            while True:
                raw = file.read(CHUNK_BYTES)
                held_back = len(decoder.getstate()[0])
                try:
                    text = decoder.decode(raw, final=not raw)
                except UnicodeDecodeError as error:
                    raise _not_utf8(path, offset - held_back + error.start, error) from error
                offset += len(raw)
                yield newlines.decode(text, final=not raw)
                if not raw:
                    return
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror or error}") from error


def _not_utf8(path: Path, offset: int, error: UnicodeDecodeError) -> UserError:
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
            yield iter((piece,))
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
    held = ""
    for chunk in chunks:
        held += chunk
        if separator is not None:
            *ended, held = separator.split(held)
            for document in ended:
                yield from _bounded(document, size)
        while len(held) > size:
            # A separator across the cut ends this document a piece later, which is no harm.
            yield held[:size], False
            held = held[size:]
    yield from _bounded(held, size)


def _bounded(document: str, size: int) -> Iterator[tuple[str, bool]]:
    for start in range(0, max(1, len(document)), size):
        yield document[start : start + size], start + size >= len(document)


def read_json_lines(path: Path, field: str, errors: EncodingErrors) -> Iterator[str]:
    """The text of each JSON object, one a line.

    Raises:
        UserError: with file and line, where a line is no object with that field of text.
    """
    offset = 0
    try:
        with path.open("rb") as file:
            number = 0
            while raw := file.readline(MAX_JSON_LINE_BYTES + 1):
                number += 1
                if len(raw) > MAX_JSON_LINE_BYTES:
                    raise UserError(
                        f"{path}, line {number}: longer than {MAX_JSON_LINE_BYTES >> 20} MiB; "
                        "split its text into several objects"
                    )
                try:
                    line = raw.decode("utf-8-sig" if number == 1 else "utf-8", _POLICY[errors])
                except UnicodeDecodeError as error:
                    raise _not_utf8(path, offset + error.start, error) from error
                offset += len(raw)
                if line.strip():
                    yield _field_of(line, field, f"{path}, line {number}")
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror or error}") from error


def _field_of(line: str, field: str, place: str) -> str:
    try:
        item = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{place}: not JSON: {error}") from error
    if not isinstance(item, dict):
        raise UserError(f"{place}: expected a JSON object, found {type(item).__name__}")
    text = item.get(field)
    if not isinstance(text, str):
        if field in item:
            raise UserError(f"{place}: {field!r} holds {type(text).__name__}, expected a string")
        raise UserError(f"{place}: no field {field!r}{_nearest(field, list(item))}")
    # Escapes such as \ud800 alone are no characters and have no UTF-8.
    return text.encode("utf-8", "replace").decode("utf-8")


def _nearest(field: str, names: list[str]) -> str:
    close = difflib.get_close_matches(field, names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{hint} It has {', '.join(map(repr, names)) or 'none'} (corpus.field)"


def read_parquet(path: Path, field: str) -> Iterator[str]:
    """The texts of one column of a parquet file, a batch of rows at a time.

    Raises:
        UserError: pyarrow is missing, the file is none, or it has no such column of text.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise UserError(f"{path}: parquet needs pyarrow: pip install 'colaflex[parquet]'")
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            names = list(file.schema_arrow.names)
            if field not in names:
                raise UserError(f"{path}: no column {field!r}{_nearest(field, names)}")
            kind = file.schema_arrow.field(field).type
            if not (pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind)):
                raise UserError(f"{path}: column {field!r} holds {kind}, expected strings")
            for batch in file.iter_batches(batch_size=1024, columns=[field]):
                yield from (text for text in batch.column(0).to_pylist() if text is not None)
    except (OSError, pyarrow.ArrowException) as error:
        raise UserError(f"{path}: not readable as parquet: {error}") from error
