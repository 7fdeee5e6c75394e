"""Lines of others' files: bounded, with their place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from colaflex.errors import UserError
from colaflex.files.json_lines import json_object, lines_of, open_text, text_of


def test_lines_have_their_place_and_no_mark(tmp_path: Path):
    path = tmp_path / "a"
    path.write_bytes(b"\xef\xbb\xbfone\r\n\ntwo")
    assert list(lines_of(path)) == [
        (f"{path}:1", b"one\r\n"),
        (f"{path}:2", b"\n"),
        (f"{path}:3", b"two"),
    ]


def test_a_line_of_the_limit_is_read_and_a_longer_one_is_not(tmp_path: Path):
    path = tmp_path / "a"
    path.write_bytes(b"12345\n123456\n")
    assert next(lines_of(path, 6))[1] == b"12345\n"
    with pytest.raises(UserError, match="a:2: the line is longer than 6 bytes"):
        list(lines_of(path, 6))


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (os.mkfifo, "a pipe"),
        (lambda path: path.symlink_to("/dev/zero"), "a device"),
        (lambda path: path.write_bytes(b"\x1f\x8b"), "compressed"),
        (lambda path: None, "no such file"),
    ],
)
def test_only_text_is_opened(tmp_path: Path, make: object, message: str):
    make(tmp_path / "a")  # type: ignore[operator]
    with pytest.raises(UserError, match=message):
        open_text(tmp_path / "a")


def test_what_a_row_holds():
    assert text_of(json_object(b'{"a": "x\\ud800"}', "here"), "a", "here") == "x?"
    for row, message in {
        '{"a": null}': "here: a: expected text, got null; leave the row out, or give it an empty",
        '{"a": false}': "here: a: expected text, got true or false",
        '{"b": 1}': "here: the field 'a' is missing",
    }.items():
        with pytest.raises(UserError, match=message):
            text_of(json_object(row, "here"), "a", "here")
