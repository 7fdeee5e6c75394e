"""What reaches a terminal, a pipe and a full disk: of data, nothing that is obeyed."""

from __future__ import annotations

import io
import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, TextIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colaflex.runtime import terminal
from colaflex.runtime.terminal import in_json, say, spelled

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\x7f\u202e\u2066\r\x08"
OBEYED = ("\x1b]", "\x1b[2J", "\x9b", "\x7f", "\u202e", "\u2066", "\x08", "\x07")
RAW = [part.encode() for part in OBEYED]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@given(st.text(st.characters(exclude_categories=())))
def test_nothing_that_is_obeyed_is_left(text: str) -> None:
    shown = spelled(text)
    assert all(c.isprintable() or c in "\n\t\r" or ord(c) > 0x9F for c in shown)
    assert not set(shown) & {*"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"}
    shown.encode()  # no half of a character
    assert spelled(shown) == shown
    assert json.loads(in_json(json.dumps(text, ensure_ascii=False))) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, café, 東京 🙂, שלום\n\tline\r\n", None),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("over\rwritten", "over\\rwritten"),
        ("\x9b2J", "\\x9b2J"),
        ("a\u202eb\u2069", "a\\u202eb\\u2069"),
        ("\x00\x07\x08\x0b\x0c\x7f", "\\x00\\x07\\x08\\x0b\\x0c\\x7f"),
        ("\udcff", "\\udcff"),
    ],
)
def test_what_is_spelled(text: str, shown: str | None) -> None:
    assert spelled(text) == (text if shown is None else shown)


def test_only_a_terminal_gets_it_spelled() -> None:
    here, there = Terminal(), io.StringIO()
    for stream in (here, there):
        say(HOSTILE, stream)
        console = terminal.console(stream)
        console.print(HOSTILE, markup=False)
    assert "\x1b]" in there.getvalue() and "\x9b" in there.getvalue()
    assert not any(raw.decode() in here.getvalue() for raw in RAW)
    assert "\\x1b]0;owned" in here.getvalue()


def on_terminal(*arguments: str, stdout: TextIO | int | None = None, **environment: str) -> bytes:
    """What a command writes to a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, *arguments],
        stdin=theirs,
        stdout=theirs if stdout is None else stdout,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "200", **environment},
    )
    os.close(theirs)
    seen, end = b"", time.monotonic() + 60
    while time.monotonic() < end:
        if select.select([ours], [], [], 0.1)[0]:
            try:
                seen += os.read(ours, 1 << 16)
            except OSError:
                break
        elif process.poll() is not None:
            break
    process.wait(10)
    os.close(ours)
    return seen


def command(*arguments: str, **environment: str) -> bytes:
    return on_terminal("-m", "colaflex", *arguments, **environment)


def clean(seen: bytes) -> None:
    assert not [raw for raw in RAW if raw in seen], seen


@pytest.mark.parametrize(
    "arguments",
    [
        [HOSTILE],
        ["plugins", HOSTILE],
        ["plugins", f"--{HOSTILE}"],
        ["plugins", "show", HOSTILE, "x"],
        ["spec", "validate", f"/nowhere/{HOSTILE}.yaml"],
        ["spec", "show", "SPEC"],
        ["spec", "show", "SPEC", "--json"],
        ["spec", "show", "SPEC", "--origin"],
        ["spec", "show", "SPEC", "--set", f"{HOSTILE}=1"],
        ["spec", "show", "SPEC", "--set", f"training.{HOSTILE}=1"],
        ["spec", "show", "SPEC", "--set", f"name={HOSTILE}"],
        ["spec", "diff", "SPEC", "OTHER"],
        ["bench", "run", HOSTILE],
        ["leaderboard", HOSTILE],
        ["study", "status", HOSTILE],
        ["compare", HOSTILE, HOSTILE],
        ["evaluate", HOSTILE],
        ["score", HOSTILE, HOSTILE],
        ["init", f"/proc/{HOSTILE}"],
    ],
    ids=lambda arguments: " ".join(arguments).encode("unicode_escape").decode()[:40],
)
def test_no_command_passes_on_what_a_terminal_obeys(arguments: list[str], tmp_path: Path) -> None:
    spec, other = tmp_path / "a.yaml", tmp_path / f"{'b' + HOSTILE}.yaml".replace("\x00", "")
    text = "corpus: {type: text_files, path: %s}\nrepresentation: text_vae\n"
    spec.write_text(text % json.dumps(f"/data/{HOSTILE}"))
    other.write_text(text % json.dumps("/data/plain"))
    places = {"SPEC": str(spec), "OTHER": str(other)}
    seen = command(*(places.get(each, each) for each in arguments))
    clean(seen)
    assert seen.strip() and b"Traceback" not in seen


def test_a_traceback_is_spelled_too() -> None:
    code = "from colaflex.runtime import failures; failures.report_failure(ZeroDivisionError('%s'))"
    seen = on_terminal("-c", code % HOSTILE.encode("unicode_escape").decode())
    clean(seen)
    assert b"ZeroDivisionError: \\x1b]0;owned" in seen


def test_generated_text_is_raw_in_a_file_and_in_json(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom colaflex.runtime.terminal import guarded\n"
        "from colaflex.cli.common import *\n"
        "from colaflex.cli.common import print_table\n"
        "with guarded():\n"
        "    text = sys.argv[1].encode().decode('unicode_escape')\n"
        "    print(text); print_table(['a', text], [[text, 'b']])\n"
        "    print_json({text: text}); print(text, file=sys.stderr)\n"
    )
    argument = HOSTILE.encode("unicode_escape").decode()
    seen = on_terminal("-c", code, argument)
    clean(seen.replace(b"\x1b[1m", b"").replace(b"\x1b[0m", b""))
    file = tmp_path / "out"
    with file.open("w") as stream:
        clean(on_terminal("-c", code, argument, stdout=stream))
    lines = file.read_bytes()
    assert lines.startswith(HOSTILE.encode())
    document = lines[lines.index(b"{") :]
    assert json.loads(document) == {HOSTILE: HOSTILE}


def ended(shell: str, **environment: str) -> Any:
    return subprocess.run(
        ["bash", "-c", shell.replace("colaflex", f"{sys.executable} -m colaflex")],
        capture_output=True,
        env={**os.environ, **environment},
        check=False,
    )


@pytest.mark.parametrize(
    ("what", "unbuffered"),
    [("plugins", ""), ("plugins --json", "1"), ("--help", "1"), ("--version", ""), ("doctor", "")],
)
@pytest.mark.parametrize(
    ("where", "reason"), [(">/dev/full", b"No space left on device"), (">&-", b"it is closed")]
)
def test_a_stdout_that_takes_nothing_is_one_line_and_1(
    what: str, where: str, reason: bytes, unbuffered: str
) -> None:
    done = ended(f"colaflex {what} {where}", PYTHONUNBUFFERED=unbuffered)
    assert done.returncode == 1
    assert done.stderr == b"Error: standard output can't be written: " + reason + b"\n"


@pytest.mark.parametrize(
    ("shell", "code"),
    [
        ("colaflex plugins >&- 2>&-", 1),
        ("colaflex plugins >/dev/full 2>/dev/full", 1),
        ("colaflex nosuch 2>/dev/full", 2),
        ("colaflex nosuch 2>&-", 2),
        ("colaflex spec validate nowhere.yaml >/dev/full 2>/dev/full", 2),
        ("colaflex --version <&-", 0),
        ("colaflex spec schema | head -c 5 >/dev/null; exit ${PIPESTATUS[0]}", 1),
    ],
)
def test_the_exit_code_stands_whatever_can_be_said(shell: str, code: int) -> None:
    done = ended(shell)
    assert done.returncode == code
    assert b"Traceback" not in done.stderr and b"Exception ignored" not in done.stderr


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "latin-1"},
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"PYTHONIOENCODING": "koi8-r:strict"},
    ],
    ids=str,
)
def test_what_an_encoding_lacks_is_spelled(environment: dict[str, str], tmp_path: Path) -> None:
    name = "東京 🙂 é"
    spec = tmp_path / "a.yaml"
    spec.write_text(f"corpus: bible\nname: {name}\n", encoding="utf-8")
    plain = ended(f"colaflex spec show {spec}", **environment)
    assert plain.returncode == 0 and b"\\u6771\\u4eac \\U0001f642 " in plain.stdout
    shown = ended(f"colaflex spec show {spec} --json", **environment)
    assert json.loads(shown.stdout)["name"] == name
    done = ended(f"colaflex spec validate {tmp_path}/東京.yaml", **environment)
    assert done.returncode == 2 and b".yaml: there is no such file" in done.stderr
