"""Files from others: what is read, and what is refused with its reason."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from colaflex.errors import UserError
from colaflex.files.reading import (
    MissingFile,
    appending,
    inside,
    open_regular,
    parse_json,
    read_bytes,
    read_json,
    read_text,
)


def test_a_regular_file_is_read(tmp_path: Path):
    path = tmp_path / "a.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": [1, 2.5, null]}')
    assert read_bytes(path, 100).startswith(b"\xef")
    assert read_text(path, 100) == '{"a": [1, 2.5, null]}'
    assert read_json(path) == {"a": [1, 2.5, None]}
    with open_regular(path) as file:
        assert file.read(3) == b"\xef\xbb\xbf"


def test_a_file_of_the_limit_is_read_and_a_larger_one_is_not(tmp_path: Path):
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    assert read_bytes(path, 5) == b"12345"
    with pytest.raises(UserError, match="5 bytes, at most 4"):
        read_bytes(path, 4)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: os.mkfifo(path), "a pipe"),
        (lambda path: path.mkdir(), "a folder"),
        (lambda path: path.symlink_to("/dev/zero"), "a device"),
        (lambda path: path.symlink_to(path), "in a circle"),
        (lambda path: socket.socket(socket.AF_UNIX).bind(str(path)), "a socket"),
    ],
)
@pytest.mark.timeout(10)
def test_what_is_no_regular_file_is_refused_at_once(
    tmp_path: Path, make: Callable[[Path], object], said: str
):
    path = tmp_path / "p"
    make(path)
    with pytest.raises(UserError, match=said):
        read_bytes(path, 1000)


@pytest.mark.parametrize("name", ["none", "none/deeper", "file/deeper"])
def test_a_missing_file_is_told_apart(tmp_path: Path, name: str):
    (tmp_path / "file").write_text("x")
    with pytest.raises(MissingFile, match="no such file"):
        read_bytes(tmp_path / name, 10)


@pytest.mark.parametrize("name", ["a\0b", "x" * 300])
def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path, name: str):
    with pytest.raises(UserError):
        read_bytes(tmp_path / name, 10)


def test_text_that_is_not_utf8_names_line_and_byte(tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\ntwo \xff")
    with pytest.raises(UserError, match=r"a\.txt:2: not UTF-8 \(byte 0xff at offset 8\)"):
        read_text(path, 100)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[" * 200_000,
        '{"a":' * 100_000,
        "1" * 5_000,
        "NaN",
        "[1, -Infinity]",
        '{"a": 1} x',
        b"\xff\xfe{",
        b'"\xff"',
    ],
)
def test_what_is_no_json_is_refused_with_its_place(text: str | bytes):
    with pytest.raises(UserError, match=r"^here: "):
        parse_json(text, "here")


def test_links_out_of_a_folder_are_not_followed(tmp_path: Path):
    folder, other = tmp_path / "run", tmp_path / "other"
    folder.mkdir()
    other.mkdir()
    (folder / "inner").mkdir()
    (folder / "here").symlink_to("inner")
    assert inside(folder, "here") == folder / "here"
    assert inside(folder, "not-there-yet") == folder / "not-there-yet"
    (folder / "checkpoints").symlink_to(other)
    for name, said in (("checkpoints", "out of its folder"), ("../other", "out of its folder")):
        with pytest.raises(UserError, match=said):
            inside(folder, name)


def test_a_folder_that_is_a_link_itself_is_no_link_out_of_it(tmp_path: Path):
    folder, alias = tmp_path / "run", tmp_path / "alias"
    folder.mkdir()
    alias.symlink_to(folder)
    assert inside(alias, "spec.yaml") == alias / "spec.yaml"


def test_appending_stays_in_its_folder_and_waits_for_nobody(tmp_path: Path):
    folder, precious = tmp_path / "folder", tmp_path / "precious"
    precious.write_text("kept")
    for text in (b"a", b"b"):
        with appending(folder, "logs/a.log") as file:
            file.write(text)
    assert (folder / "logs/a.log").read_bytes() == b"ab"
    (folder / "link").symlink_to(precious)
    (folder / "way").symlink_to(tmp_path)
    for name in ("link", "way/precious"):
        with pytest.raises(UserError, match="link out of its folder"):
            appending(folder, name)
    os.mkfifo(folder / "pipe")
    reader = os.open(folder / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(UserError, match="a pipe or device"):
        appending(folder, "pipe")
    os.close(reader)
    with pytest.raises(OSError, match="No such device"):  # nobody reads it
        appending(folder, "pipe")
    assert precious.read_text() == "kept"
