"""What killed writers leave behind goes; what living ones are writing stays."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from colaflex.corpora.token_index import prepare_data
from colaflex.corpora.worlds import Worlds
from colaflex.corpora.worlds_process import WorldsConfig
from colaflex.files.writing import sweep, sweep_cache, temporary, write_atomic

WRITER = """
import os, sys, time
from pathlib import Path
from colaflex.files.writing import temporary

with temporary(Path(sys.argv[1]), folder=sys.argv[2] == "folder") as made:
    if made.is_dir():
        (made / "part").write_text("half")
    print(made.name, flush=True)
    time.sleep(600)
"""


@contextmanager
def writer(path: Path, kind: str = "file") -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process that is writing a file or folder, and the temporary one's path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), kind], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield process, path.parent / process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_only_what_a_dead_process_was_writing_is_swept(kind: str, tmp_path: Path) -> None:
    with writer(tmp_path / "it", kind) as (lives, kept):
        with writer(tmp_path / "it", kind) as (dies, left):
            dies.kill()
            dies.wait()
            assert left.exists() and kept.exists()
        sweep(tmp_path)
        assert kept.exists() and not left.exists()
        sweep(tmp_path, "other")
        lives.kill()
        lives.wait()
        sweep(tmp_path, "another")
        assert kept.exists()
    sweep(tmp_path, "it")
    assert list(tmp_path.iterdir()) == []


def test_all_of_a_cache_is_swept_where_data_are_prepared(tmp_path: Path) -> None:
    places = ("index/" + 32 * "a", "stage1/b.safetensors", "judges/c.safetensors")
    places += ("tokenizers/d/tokenizer.json",)
    kinds = ("folder", "file", "file", "file")
    left = []
    for place, kind in zip(places, kinds, strict=True):
        with writer(tmp_path / place, kind) as (_, path):
            left.append(path)
    with writer(tmp_path / "index" / (32 * "e"), "folder") as (_, kept):
        assert all(path.exists() for path in left)
        prepare_data(Worlds(WorldsConfig(documents=40)), 262, cache=tmp_path)
        assert not any(path.exists() for path in left)
        assert (kept / "part").exists()


def test_folders_of_older_versions_go_when_nobody_has_touched_them_for_a_day(
    tmp_path: Path,
) -> None:
    old, new = (tmp_path / "index" / f".{32 * c}.abcd_123" for c in "ab")
    for folder in (old, new):
        folder.mkdir(parents=True)
        (folder / "train.tokens").write_bytes(b"12")
    yesterday = time.time() - 25 * 60 * 60
    for path in (old / "train.tokens", old, new):  # the second still grows
        os.utime(path, (yesterday, yesterday))
    sweep_cache(tmp_path)
    assert not old.exists() and new.exists()


def test_what_only_looks_like_ours_stays(tmp_path: Path) -> None:
    names = [".vimrc.tmp", "it.0123456789abcdef.tmp", ".it.0123.tmp", ".it.0123456789ABCDEF.tmp"]
    for name in names:
        (tmp_path / name).write_text("mine")
    (tmp_path / "real").write_text("mine")
    (tmp_path / ".link.0123456789abcdef.tmp").symlink_to(tmp_path / "real")
    os.mkfifo(tmp_path / ".pipe.0123456789abcdef.fifo")
    sweep(tmp_path)
    sweep(tmp_path / "none")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [*names, "real", ".link.0123456789abcdef.tmp", ".pipe.0123456789abcdef.fifo"]
    )


def test_the_next_write_of_a_file_sweeps_what_is_left_of_the_last(tmp_path: Path) -> None:
    with writer(tmp_path / "result.json") as (_, left):
        pass
    with writer(tmp_path / "other.json") as (_, other):
        pass
    assert left.exists()
    write_atomic(tmp_path / "result.json", "{}")
    assert {path.name for path in tmp_path.iterdir()} == {"result.json", other.name}
    assert (tmp_path / "result.json").stat().st_mode & 0o044


def test_one_that_is_swept_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, swept = os.open, list[Path]()

    def late(path: Path, flags: int, *more: int, **named: int) -> int:
        if not swept:
            swept.append(path)
            path.rmdir()
        return opened(path, flags, *more, **named)

    monkeypatch.setattr("colaflex.files.writing.os.open", late)
    with temporary(tmp_path / "it", folder=True) as made:
        assert made.exists() and made != swept[0]
    assert list(tmp_path.iterdir()) == []


def fill(folder: Path, error: BaseException) -> None:
    """Write half of something, then fail."""
    (folder / "part").write_text("half")
    raise error


def test_a_failure_and_a_stop_leave_nothing(tmp_path: Path) -> None:
    for error in (OSError(errno.ENOSPC, "full"), KeyboardInterrupt()):
        with pytest.raises(type(error)), temporary(tmp_path / "it", folder=True) as made:
            fill(made, error)
        assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError) as caught:
        write_atomic(tmp_path / "no/where", "text")
    assert caught.value.filename == str(tmp_path / "no/where")


def test_a_run_that_is_killed_while_it_indexes_leaves_nothing_to_the_next(
    tmp_path: Path, tiny: Path
) -> None:
    cache = tmp_path / "cache"
    command = [sys.executable, "-m", "colaflex", "run", str(tiny), "--out", str(tmp_path / "run")]
    command += ["--set", "corpus.documents=300000", "--set", f"tokenizer.path={_words(tmp_path)}"]
    process = subprocess.Popen(
        command, env={**os.environ, "COLAFLEX_CACHE": str(cache)}, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 200
    while not list((cache / "index").glob(".*")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list((cache / "index").glob(".*"))
    prepare_data(Worlds(WorldsConfig(documents=40)), 262, cache=cache)
    assert not list((cache / "index").glob(".*"))


def _words(folder: Path) -> Path:
    data = prepare_data(Worlds(WorldsConfig(documents=40)), 262, cache=folder / "small")
    path = folder / "tokenizer.json"
    path.write_text(data.tokenizer.to_json())
    return path
