"""Paths that can't be, on every command: one message, 2, and nothing that takes its place.

What is written to lies in a folder of the test's own: whoever runs the tests may be root, whom no
permission stops.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from colaflex.cli.common import write_file
from colaflex.errors import RunFailure, UserError
from colaflex.files.writing import write_atomic
from colaflex.runtime.failures import failure

Command = Callable[..., Any]

UNREADABLE = {
    "empty": ("", "path is empty|no such|empty"),
    "nul": ("a\0b", "no path has a NUL character"),
    "nobody": ("~nobody-of-that-name/x", "no home folder of ~nobody-of-that-name|no such"),
    "long": ("x" * 300, "too long|no such|can't be read: File name"),
    "below": ("file/x", "no such|no folder|Not a directory"),
    "loop": ("loop", "circle|no such|Too many levels"),
    "dangling": ("dangling", "no such"),
    "pipe": ("pipe", "pipe|no such|expected a file"),
    "surrogate": ("\udcff", "no such"),
    "missing": ("nowhere/x", "no such"),
}
UNWRITABLE = {
    "below": ("file/x", "no folder|there is a file"),
    "folder": ("folder", "this is a folder"),
    "here": (".", "this is a folder"),
    "long": ("x" * 300, "too long"),
    "loop": ("loop/x", "circle|there is a file"),
    "pipe": ("pipe", "this is a device, pipe or socket"),
    "dangling": ("dangling/x", "there is a file of this name"),
}
READERS = [
    ["run", "?", "--dry-run"],
    ["spec", "validate", "?"],
    ["spec", "show", "?"],
    ["spec", "diff", "tiny.yaml", "?"],
    ["generate", "?"],
    ["generate", "RUN", "--prompts", "?"],
    ["evaluate", "?"],
    ["evaluate", "RUN", "--task", "lambada", "--data", "?"],
    ["compare", "RUN", "?"],
    ["score", "lambada", "?"],
    ["bench", "run", "?", "--dry-run"],
    ["leaderboard", "?"],
    ["study", "status", "?"],
]


@pytest.fixture
def place(tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of what paths may meet, in which the command runs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(tiny.read_text())
    (tmp_path / "file").write_text("a text\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("pool")
    (tmp_path / "pool").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nothing")
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


@pytest.mark.parametrize("path", UNREADABLE)
@pytest.mark.parametrize("arguments", READERS, ids=" ".join)
def test_what_can_not_be_read_is_one_message(
    colaflex_command: Command, place: Path, finished: Path, arguments: list[str], path: str
) -> None:
    before = sorted(place.iterdir())
    given, message = UNREADABLE[path]
    filled = [each.replace("?", given).replace("RUN", str(finished)) for each in arguments]
    done = colaflex_command(*filled)
    assert done.code == 2, done.err
    assert "Traceback" not in done.err and done.err.count("Error: ") == 1
    assert re.search(f"{message}|there is no (board|study)", done.err), done.err
    assert sorted(place.iterdir()) == before


@pytest.mark.parametrize("path", [name for name in UNREADABLE if name != "surrogate"])
@pytest.mark.parametrize(
    "key", ["extends", "tokenizer.path", "representation.from", "corpus.path", "base"]
)
def test_what_a_spec_names_and_can_not_be_read_is_one_message(
    colaflex_command: Command, place: Path, key: str, path: str
) -> None:
    given, message = UNREADABLE[path]
    tree: dict[str, Any] = {"corpus": {"type": "text_files", "path": "file"}}
    if key == "base":
        tree = {"study": "a", "base": given, "budget": {"trials": 3}, "space": {"seed": [0, 1]}}
        tree["objectives"] = "generation.valid_sentences"
    elif key == "extends":
        tree["extends"] = given
    else:
        section, name = key.split(".")
        tree.setdefault(section, {})[name] = given
    (place / "given.yaml").write_text(json.dumps(tree))
    command = ["study", "status"] if key == "base" else ["run", "--dry-run"]
    done = colaflex_command(*command, "given.yaml")
    assert done.code == 2, done.err
    assert "Traceback" not in done.err and done.err.count("Error: ") == 1
    assert re.search(f"{message}|expected|folder", done.err), done.err


@pytest.mark.parametrize("path", UNWRITABLE)
def test_what_can_not_be_written_is_one_message(place: Path, path: str) -> None:
    given, message = UNWRITABLE[path]
    before = sorted(place.rglob("*"))
    with pytest.raises(UserError, match=f"^{re.escape(given)}: can't be written: .*({message})"):
        write_file(Path(given), "text")
    assert sorted(place.rglob("*")) == before
    assert (place / "file").read_text() == "a text\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "tiny.yaml", "--out", "file"],
        ["run", "tiny.yaml", "--out", "file/x"],
        ["run", "tiny.yaml", "--out", "loop/x"],
        ["run", "tiny.yaml", "--out", "x" * 300],
        ["run", "tiny.yaml", "--out", ""],
        ["run", "tiny.yaml", "--out", "pipe"],
        ["init", "file"],
        ["init", "file/x"],
        ["init", "x" * 300],
        ["init", "loop"],
        ["plugins", "new", "foo", "--kind", "prior", "--out", "file"],
        ["plugins", "new", "foo", "--kind", "prior", "--out", "file/x"],
        ["plugins", "new", "foo", "--kind", "prior", "--out", "x" * 300],
        ["plugins", "new", "foo", "--kind", "prior", "--out", "~nobody-of-that-name/x"],
    ],
    ids=lambda arguments: " ".join(arguments)[:40],
)
def test_folders_that_can_not_be_made_are_one_message(
    colaflex_command: Command, place: Path, arguments: list[str]
) -> None:
    before = sorted(place.rglob("*"))
    done = colaflex_command(*arguments)
    assert done.code == 2, done.err
    assert "Traceback" not in done.err and done.err.count("Error: ") == 1
    assert sorted(place.rglob("*")) == before


@pytest.mark.parametrize("way", ["~/tiny.yaml", "./tiny.yaml", "folder/../tiny.yaml", "absolute"])
def test_all_ways_to_name_a_file(
    colaflex_command: Command, place: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setenv("HOME", str(place))
    path = str(place / "tiny.yaml") if way == "absolute" else way
    assert colaflex_command("spec", "validate", path).code == 0
    (place / "folder/upon.yaml").write_text(f"extends: {path.replace('./', '../', 1)}\n")
    if way in ("~/tiny.yaml", "absolute", "./tiny.yaml"):
        assert colaflex_command("spec", "validate", "folder/upon.yaml").code == 0


def test_outputs_are_expanded_and_their_folders_made(
    colaflex_command: Command, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(place))
    done = colaflex_command("plugins", "new", "foo", "--kind", "prior", "--out", "~/deep/er/foo/")
    assert done.code == 0 and (place / "deep/er/foo/pyproject.toml").is_file()
    write_file(place / "new/deep/file", "text")
    assert (place / "new/deep/file").read_text() == "text"


@pytest.mark.parametrize("name", ["n" * 255, "東" * 85, "n" * 220, ".hidden", "-", " "])
def test_any_name_that_a_file_may_have(tmp_path: Path, name: str) -> None:
    write_atomic(tmp_path / name, "one")
    write_atomic(tmp_path / name, "two")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "two"


@pytest.mark.parametrize(
    ("error", "text", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a"), "a: No space left on device", 1),
        (OSError(errno.EIO, "Input/output error", "a"), "a: Input/output error", 1),
        (OSError(errno.EMFILE, "Too many open files", b"a"), "a: Too many open files", 1),
        (FileNotFoundError(2, "No such", "a"), "a: there is no such file or folder", 2),
        (PermissionError(13, "Permission denied", "a"), "a: Permission denied", 2),
        (OSError(errno.EROFS, "Read-only file system", "a"), "a: Read-only file system", 2),
        (FileExistsError(17, "x", "a"), "a: expected a folder, there is a file of this name", 2),
        (OSError(21, "x", "tmp", None, "a"), "a: expected a file, this is a folder", 2),
        (OSError("a library's own words\nand more"), "a library's own words", 1),
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused", 1),
        (MemoryError(), "this machine has too little memory", 1),
        (ValueError("embedded null byte"), "no path has a NUL character", 2),
        (RuntimeError("CUDA out of memory. Tried ..."), "CUDA out of memory. Tried ...", 1),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you"), "DefaultCPU", 1),
        (AssertionError("Torch not compiled with CUDA enabled"), "Torch not compiled", 1),
        (RuntimeError("Found no NVIDIA driver on your system"), "Found no NVIDIA", 1),
        (RuntimeError("Symlink loop from 'a'"), "Symlink loop from 'a': its symbolic links", 2),
        (RuntimeError("Could not determine home directory."), "there is no home folder", 2),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "x"), "'\\ud800' is no text", 2),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"), "not UTF-8 at byte 0", 2),
        (UserError("no"), "no", 2),
        (RunFailure("broke"), "broke", 1),
    ],
    ids=repr,
)
def test_what_is_said_of_a_failure(error: Exception, text: str, code: int) -> None:
    known = failure(error)
    assert known is not None
    assert known[0].startswith(text) and "\n" not in known[0] and known[1] == code


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError("x"),
        RuntimeError("shapes do not match"),
        RecursionError("maximum recursion depth exceeded"),
        ValueError("x"),
        AssertionError("x"),
        KeyError("x"),
        TypeError("x"),
    ],
    ids=repr,
)
def test_a_defect_is_none_of_these(error: Exception) -> None:
    assert failure(error) is None
