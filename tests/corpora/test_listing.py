"""Which files a path stands for, and what is passed over and told."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from colaflex.corpora.text_files import TextFiles, TextFilesConfig
from colaflex.errors import UserError


def write(path: Path, text: str = "text") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def files(path: Path, root: Path) -> list[str]:
    found = TextFiles(TextFilesConfig(path=path)).files()
    return [each.relative_to(root).as_posix() for each in found]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as it looks after some work: text, and what is no text of its owner."""
    root = tmp_path / "data"
    write(root / "a.txt")
    write(root / "deep/er/b.md")
    write(root / ".git/description.txt")
    write(root / "deep/.ipynb_checkpoints/b-checkpoint.md")
    write(root / "._a.txt")
    write(root / "runs/first/run.json", "{}")
    write(root / "runs/first/metrics.jsonl", '{"step": 1}\n')
    write(root / "runs/first/checkpoints/notes.txt")
    write(root / "runs/studies/s/0001/run.json", "{}")
    write(root / "runs/studies/s/0001/samples.jsonl", '{"step": 1}\n')
    return root


OWN = ["a.txt", "deep/er/b.md"]


@pytest.mark.parametrize("pattern", ["", "**/*.*", "**", "**/*"])
def test_hidden_things_and_run_folders_are_passed_over_and_told_once(
    folder: Path, pattern: str, caplog: pytest.LogCaptureFixture
):
    corpus = TextFiles(TextFilesConfig(path=folder / pattern))
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert [p.relative_to(folder).as_posix() for p in corpus.files()] == OWN
    assert len(caplog.records) == 1
    told = caplog.text
    assert "hidden: ._a.txt, .git, deep/.ipynb_checkpoints" in told
    assert "a run folder: runs/first, runs/studies/s/0001" in told


def test_a_run_beside_its_corpus_changes_no_fingerprint(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(folder)
    before = TextFiles(TextFilesConfig(path=".")).fingerprint()
    write(folder / "runs/second/run.json", "{}")
    write(folder / "runs/second/metrics.jsonl", '{"step": 1}\n')
    corpus = TextFiles(TextFilesConfig(path="."))
    assert corpus.fingerprint() == before and len(list(corpus.documents())) == 2


def test_what_is_named_is_read_wherever_it_lies(folder: Path):
    assert files(folder / ".git", folder) == [".git/description.txt"]
    assert files(folder / ".git/*.txt", folder) == [".git/description.txt"]
    assert files(folder / "*/.ipynb_checkpoints/*", folder) == [
        "deep/.ipynb_checkpoints/b-checkpoint.md"
    ]
    assert files(folder / "runs/first/metrics.jsonl", folder) == ["runs/first/metrics.jsonl"]
    assert files(folder / "runs/first/checkpoints", folder) == ["runs/first/checkpoints/notes.txt"]


def test_the_cache_is_passed_over(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLAFLEX_CACHE", str(folder / "cache"))
    write(folder / "cache/index/abc/notes.txt")
    assert files(folder, folder) == OWN


@pytest.mark.parametrize("pattern", ["", "**/*.txt"])
def test_linked_folders_are_read_once(
    tmp_path: Path, pattern: str, caplog: pytest.LogCaptureFixture
):
    root, far = tmp_path / "data", tmp_path / "far"
    write(root / "own/a.txt")
    write(far / "b.txt")
    write(far / "below/c.txt")
    links = {
        "again": far / "below",  # of the far folder, which comes first
        "another": far,
        "back": root / "own",
        "circle": root,
        "up": tmp_path,
    }
    for name, target in links.items():
        (root / name).symlink_to(target)
    (far / "loop").symlink_to(far)
    with caplog.at_level(logging.WARNING):
        assert files(root / pattern, root) == ["again/c.txt", "another/b.txt", "own/a.txt"]
    assert "linked, and read in its own place: " in caplog.text
    for name in ("another/below", "another/loop", "back"):
        assert name in caplog.text


@pytest.mark.timeout(10)
def test_what_is_no_regular_file_is_passed_over_in_a_folder(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    write(tmp_path / "a.txt")
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "zero.txt").symlink_to("/dev/zero")
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nowhere")
    with caplog.at_level(logging.WARNING):
        assert files(tmp_path, tmp_path) == ["a.txt"]
        assert files(tmp_path / "*.txt", tmp_path) == ["a.txt"]
    for name in ("pipe.txt", "zero.txt", "gone.txt"):
        assert f"{name}" in caplog.text


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/dev/zero", "expected a file, this is a device"),
        ("pipe", "expected a file, this is a pipe"),
        ("loop", "in a circle"),
        ("x" * 300, "too long"),
        ("a\0b", "NUL character"),
        ("~nobody-of-this-name/x", "there is no home folder of ~nobody"),
        ("a.txt/b", "no such file or folder"),
        ("table.csv", "is a table, which is not read; write its texts as JSON lines"),
        ("one.json", "is one JSON document, which is not read"),
        ("*.json", "is one JSON document, which is not read"),
        ("old.txt", "compressed .gzip."),
        ("wide.txt", "UTF-16"),
        ("late.txt", "byte 2097162 is a NUL, which no text has"),
    ],
)
@pytest.mark.parametrize("read", [TextFiles.fingerprint, lambda corpus: list(corpus.documents())])
def test_what_can_not_be_read_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, message: str, read: object
):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    Path("loop").symlink_to("loop")
    for name in ("a.txt", "table.csv", "one.json"):
        Path(name).write_text("some text")
    Path("old.txt").write_bytes(b"\x1f\x8b" + b"x" * 50)
    Path("wide.txt").write_bytes("some text\n".encode("utf-16-le"))
    Path("late.txt").write_bytes(b"some text\n" + b"word " * 419_430 + b"ab\0cd")
    content = path in ("old.txt", "wide.txt", "late.txt")
    if content and read is TextFiles.fingerprint:
        return  # only bytes are read
    for policy in ("error", "skip") if content else ("error",):
        with pytest.raises(UserError, match=message):
            read(TextFiles(TextFilesConfig(path=path, encoding_errors=policy)))  # type: ignore[operator]


def test_json_lines_may_be_called_json_where_the_spec_says_so(tmp_path: Path):
    path = write(tmp_path / "a.json", '{"text": "one"}\n{"text": "two"}\n')
    found = TextFiles(TextFilesConfig(path=path, documents="jsonl")).documents()
    assert [document.text for document in found] == ["one", "two"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_can_not_be_read_is_named(tmp_path: Path):
    write(tmp_path / "in/a.txt")
    (tmp_path / "in").chmod(0)
    with pytest.raises(UserError, match="can't be read"):
        files(tmp_path, tmp_path)
