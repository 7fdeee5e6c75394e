"""Files of prompts: what they may hold, and one message for what they may not."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from colaflex.errors import UserError
from colaflex.generation.prompt_file import MAX_BYTES, MAX_PROMPTS, read_prompts


@pytest.mark.parametrize(
    ("content", "prompts"),
    [
        (b"one\ntwo\n", ["one", "two"]),
        (b"one\r\n\r\ntwo", ["one", "", "two"]),
        (b"\xef\xbb\xbfone \n", ["one "]),
        (b"\n", [""]),
        ("a\u2028b\x0cc\u0085d\n".encode(), ["a\u2028b\x0cc\u0085d"]),
        (b"{", ["{"]),
    ],
)
def test_a_line_is_a_prompt(tmp_path: Path, content: bytes, prompts: list[str]):
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    assert read_prompts(path) == prompts


@pytest.mark.parametrize("name", ["a.jsonl", "a.JSONL", "a.ndjson", "a.b.NDJSON", "A.JsonL"])
def test_json_lines_are_known_by_any_of_their_names(tmp_path: Path, name: str):
    path = tmp_path / name
    path.write_text('\ufeff{"prompt": "one", "id": 1}\r\n\n{"prompt": ""}\n{"prompt": "a\\nb"}')
    assert read_prompts(path) == ["one", "", "a\nb"]


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"", "holds no prompt"),
        ("a.txt", "one\n".encode("utf-16"), "text in UTF-16"),
        ("a.txt", "one two\n".encode("utf-16-le"), "looks like UTF-16"),
        ("a.txt", b"one\ncaf\xe9\n", r"a.txt:2: not UTF-8 \(byte 0xe9"),
        ("a.txt", b"one\n" * 20_000 + b"t\0o\n", "a.txt:20001: holds a NUL"),
        ("a.gz", b"\x1f\x8b\x08", "compressed"),
        ("a.txt", b"PK\x03\x04", "a zip archive"),
        ("a.txt", b"x" * (MAX_BYTES + 1), "bytes, at most 16,777,216"),
        ("a.txt", b"x" * (2 << 20), "a.txt:1: the line is longer than 1,048,576 bytes"),
        ("a.txt", b"x\n" * (MAX_PROMPTS + 1), "more than 100,000 prompts"),
        ("a.jsonl", b'{"prompt": "x"}\n' * (MAX_PROMPTS + 1), "more than 100,000 prompts"),
        ("a.json", b'[{"prompt": "x"}]', "one JSON document, which is not read; write its texts"),
        ("a.csv", b"prompt\nx\n", "is a table"),
        ("a.jsonl", b"\n \n", "holds no prompt"),
        ("a.jsonl", b'{"prompt": null}', "a.jsonl:1: prompt: expected text, got null; leave"),
        ("a.ndjson", b'{"prompt": 3}', "a.ndjson:1: prompt: expected text, got a number"),
        ("a.jsonl", b'{"prompts": "x"}', "'prompt' is missing; did you mean 'prompts'"),
        ("a.jsonl", b'"x"', "expected a JSON object, got the text 'x'"),
        ("a.jsonl", b"[" * 200_000, "nested too deeply"),
        ("a.jsonl", b'{"prompt": "x", "n": ' + b"7" * 5000 + b"}", "Exceeds the limit"),
        ("a.jsonl", b'{"prompt": "caf\xe9"}', r"a.jsonl:1: not UTF-8 \(byte 0xe9\)"),
        ("a.jsonl", b'{"prompt": "a\\ud800b"}', "a.jsonl:1: the prompt .* is no UTF-8 text"),
        ("a.jsonl", b"text", "a.jsonl:1: not readable as JSON"),
    ],
)
def test_what_is_no_file_of_prompts_is_one_message(
    tmp_path: Path, name: str, content: bytes, message: str
):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_prompts(path)


@pytest.mark.timeout(10)
def test_only_regular_files_are_read(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    for path, message in {
        tmp_path / "pipe": "this is a pipe",
        Path("/dev/zero"): "this is a device",
        tmp_path: "this is a folder",
        tmp_path / "absent": "no such file",
        tmp_path / ("x" * 300): "too long",
        Path("a\0b"): "NUL",
    }.items():
        with pytest.raises(UserError, match=message):
            read_prompts(path)


def test_as_many_prompts_as_may_be_are_read(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"prompt": str(i)}) + "\n" for i in range(MAX_PROMPTS)))
    assert len(read_prompts(path)) == MAX_PROMPTS
