"""Rows of JSON lines: what is wrong is told with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from colaflex.errors import UserError
from colaflex.tasks.rows import read_rows


def test_rows_have_their_place_and_empty_lines_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": "x", "id": "one"}\r\n\n{"a": "", "b": ["y"], "c": null}\n')
    rows = list(read_rows(path))
    assert [row.place for row in rows] == [f"{path}:1", f"{path}:3"]
    assert rows[0].text("a") == "x" and rows[1].text("a") == ""
    assert rows[0].texts("b") == () and rows[1].texts("b") == ("y",)
    assert rows[1].texts("c") == () and rows[1].optional("c") == "" == rows[0].optional("c")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"rows.jsonl: no rows; expected one JSON object a line"),
        (b"\n \n", r"no rows"),
        (b'{"a": "x"}\n{"a": \n', r"rows.jsonl:2: not readable as JSON"),
        (b'{"a": "x"}\n["a"]\n', r"rows.jsonl:2: expected a JSON object, got a list"),
        (b'{"a": "x"}\n"a"\n', r"rows.jsonl:2: expected a JSON object, got the text 'a'"),
        (b'{"a": "x"}\nnull\n', r"rows.jsonl:2: expected a JSON object, got null"),
        (b'{"a": "\xff"}\n', r"rows.jsonl:1: not UTF-8 \(byte 0xff\)"),
        (b"[" * 100_000 + b"\n", r"rows.jsonl:1: not JSON that can be read: nested too deeply"),
    ],
)
def test_a_broken_file_is_told_with_its_place(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        list(read_rows(path))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"answer": "x"}', "missing; did you mean 'answer'"),
        ('{"answr": null}', "answr: expected text, got null"),
        ('{"answr": 3}', "answr: expected text, got a number"),
        ('{"answr": true}', "answr: expected text, got true or false"),
        ('{"answr": ["x"]}', "answr: expected text, got a list"),
        ('{"answr": {"text": "x"}}', "answr: expected text, got a map"),
    ],
)
def test_a_field_that_is_no_text(tmp_path: Path, row: str, message: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(f'{{"answr": "fine"}}\n{row}\n')
    first, second = read_rows(path)
    assert first.text("answr") == "fine"
    with pytest.raises(UserError, match=f"rows.jsonl:2: .*{message}"):
        second.text("answr")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"choices": "x"}', "choices: expected a list of texts, got the text 'x'"),
        ('{"choices": ["x", 2]}', "choices.1: expected text, got a number"),
    ],
)
def test_choices_that_are_none(tmp_path: Path, row: str, message: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(f"{row}\n")
    with pytest.raises(UserError, match=f"rows.jsonl:1: {message}"):
        next(read_rows(path)).texts("choices")


def test_a_file_that_is_not_there_names_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "lambada.jsonl").write_text("{}\n")
    with pytest.raises(UserError, match=r"no such file; did you mean 'lambada\.jsonl'"):
        list(read_rows(tmp_path / "lambda.jsonl"))
    with pytest.raises(UserError, match="this is a folder"):
        list(read_rows(tmp_path))
    with pytest.raises(UserError, match=r"no such file$"):
        list(read_rows(tmp_path / "nowhere/at.jsonl"))
