"""Files that are no text are told by their first bytes, whatever they are called."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from colaflex.errors import UserError
from colaflex.files.formats import HEAD_BYTES, refuse_format, refuse_name

TEXT = ("The quick brown fox. " * 200).encode()


def zipped() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("a.txt", TEXT)
    return held.getvalue()


def tarred() -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.txt"), io.BytesIO(b""))
    return held.getvalue()


NOT_TEXT: list[tuple[Callable[[], bytes], str]] = [
    (lambda: gzip.compress(TEXT), "compressed .gzip.; unpack it first"),
    (lambda: bz2.compress(TEXT), "compressed .bzip2.; unpack"),
    (lambda: lzma.compress(TEXT), "compressed .xz.; unpack"),
    (lambda: zlib.compress(random.Random(0).randbytes(3000)), "binary data"),
    (lambda: zipped(), "a zip archive or a document .*docx"),
    (lambda: tarred(), "a tar archive"),
    (lambda: b"%PDF-1.7\n%\xe2\xe3", "a PDF; save its text as a .txt file"),
    (lambda: b"{\\rtf1\\ansi hello}", "rich text"),
    (lambda: b"\x89PNG\r\n\x1a\n", "an image"),
    (lambda: b"\xff\xd8\xff\xe0\x00\x10JFIF", "an image"),
    (lambda: b"PAR1" + TEXT, "name it .parquet"),
    (lambda: b"SQLite format 3\x00", "a database"),
    (lambda: "Grüße, 東京".encode("utf-16"), "text in UTF-16; save it as UTF-8"),
    (lambda: "hello".encode("utf-32"), "text in UTF-32; save it as UTF-8"),
    (lambda: TEXT.decode().encode("utf-16-le"), "looks like UTF-16 or UTF-32 without a mark"),
    (lambda: TEXT.decode().encode("utf-16-be"), "looks like UTF-16"),
    (lambda: TEXT.decode().encode("utf-32-le"), "looks like UTF-16 or UTF-32"),
    (lambda: "Grüße aus Köln\n".encode("utf-16-le"), "looks like UTF-16"),
    (lambda: b"fine text\x00and more", "it has a NUL at byte 9"),
    (
        lambda: (99).to_bytes(8, "little") + b'{"a": {"dtype": "F32", "shape": []}}',
        "binary data, it has a NUL",
    ),
    (lambda: random.Random(1).randbytes(5000), "binary data"),
]


@pytest.mark.parametrize(("content", "message"), NOT_TEXT)
def test_what_is_no_text_is_refused_with_what_to_do(content: Callable[[], bytes], message: str):
    with pytest.raises(UserError, match=f"notes.txt: expected .*{message}"):
        refuse_format(Path("notes.txt"), content()[:HEAD_BYTES])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        "\ufeffwith a mark",
        "Grüße, 東京, \N{GRINNING FACE}\r\n\ttabs\x0cfeeds\x1b[1mcolour",
        json.dumps({"text": "x"}),
        "a,b\n1,2\n",
        "<html><body>",
        "BZ hello",
        "PK and others",
        "Grüße".encode("latin-1"),
    ],
)
def test_text_passes_also_in_another_encoding_which_is_told_by_its_place(text: str | bytes):
    refuse_format(Path("a"), text.encode() if isinstance(text, str) else text)


@pytest.mark.parametrize("name", ["a.json", "a.JSON", "a.csv", "a.TSV", "a.tab", "a.ipynb"])
def test_names_of_other_forms_are_refused_with_the_form_to_use(name: str):
    with pytest.raises(UserError, match=rf'{name}: .*\{{"body": "…"\}} a line, in a .jsonl file'):
        refuse_name(Path(name), "body")


@pytest.mark.parametrize("name", ["a", "a.txt", "a.jsonl", "a.md", "a.py", "json", ".csv"])
def test_other_names_pass(name: str):
    refuse_name(Path(name), "text")
