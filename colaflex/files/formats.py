"""What a file is that should be text and is not, and what to do with it."""

from __future__ import annotations

from pathlib import Path

from colaflex.errors import UserError

__all__ = ["HEAD_BYTES", "refuse_format", "refuse_name"]

HEAD_BYTES = 1 << 16

_UNPACK = "unpack it first"
_PLAIN = "save its text as a .txt file"
_UTF8 = "save it as UTF-8"
_BEGINNINGS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "compressed (gzip)", _UNPACK),
    (b"BZh", "compressed (bzip2)", _UNPACK),
    (b"\xfd7zXZ\x00", "compressed (xz)", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "compressed (zstd)", _UNPACK),
    (b"\x04\x22\x4d\x18", "compressed (lz4)", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"Rar!\x1a\x07", "a rar archive", _UNPACK),
    (
        b"PK\x03\x04",
        "a zip archive or a document kept in one (docx, xlsx, odt, epub)",
        f"unpack it first, or {_PLAIN}",
    ),
    (b"PK\x05\x06", "an empty zip archive", _UNPACK),
    (b"%PDF-", "a PDF", _PLAIN),
    (b"%!PS", "PostScript", _PLAIN),
    (b"{\\rtf", "rich text (RTF)", _PLAIN),
    (b"\xd0\xcf\x11\xe0", "an office document (doc, xls, ppt)", _PLAIN),
    (b"PAR1", "a parquet file", "name it .parquet, and its column of text is read"),
    (b"ARROW1", "an arrow file", "save its table as .parquet"),
    (b"SQLite format 3", "a database (SQLite)", "write its texts as JSON lines"),
    (b"\x89PNG", "an image (PNG)", "give a file of text"),
    (b"\xff\xd8\xff", "an image (JPEG)", "give a file of text"),
    (b"GIF8", "an image (GIF)", "give a file of text"),
    (b"\x7fELF", "a program", "give a file of text"),
    (b"\xff\xfe\x00\x00", "text in UTF-32", _UTF8),
    (b"\x00\x00\xfe\xff", "text in UTF-32", _UTF8),
    (b"\xff\xfe", "text in UTF-16", _UTF8),
    (b"\xfe\xff", "text in UTF-16", _UTF8),
)
_CONTROLS = bytes({*range(32), 127} - set(b"\b\t\n\v\f\r\x1a\x1b"))
# Shares of the bytes at the beginning; text has none of either.
_WIDE, _BINARY = 0.2, 0.05


def refuse_format(path: Path, head: bytes) -> None:
    """Raise UserError where the first bytes of a file, at most HEAD_BYTES, are not those of text.

    Whatever its name says; the message tells what it is and what to do.
    """
    for beginning, kind, advice in _BEGINNINGS:
        if head.startswith(beginning):
            raise UserError(f"{path}: expected text, this is {kind}; {advice}")
    if head[257:262] == b"ustar":
        raise UserError(f"{path}: expected text, this is a tar archive; {_UNPACK}")
    rest = head.translate(None, _CONTROLS)
    nul = head.count(b"\0")
    if nul > _WIDE * len(head) and len(rest) == len(head) - nul:
        raise UserError(
            f"{path}: expected UTF-8, this looks like UTF-16 or UTF-32 without a mark; {_UTF8}"
        )
    if nul or len(head) - len(rest) > _BINARY * len(head):
        what = f", it has a NUL at byte {head.index(0)}" if nul else ""
        raise UserError(f"{path}: expected text, this is binary data{what}; give a file of UTF-8")


def refuse_name(path: Path, field: str) -> None:
    """Raise UserError for a file that by its name holds texts in a form that is not read here.

    Args:
        path: the file.
        field: key of the text in JSON lines, for the advice.
    """
    suffix = path.suffix.lower()
    form = f'JSON lines, one {{"{field}": "…"}} a line, in a .jsonl file'
    if suffix in (".json", ".ipynb"):
        raise UserError(
            f"{path}: a {suffix} file is one JSON document, which is not read; "
            f"write its texts as {form}"
        )
    if suffix in (".csv", ".tsv", ".tab"):
        raise UserError(
            f"{path}: a {suffix} file is a table, which is not read; write its texts as {form}"
        )
