"""Locks of processes: waited for, refused, freed by a kill, not fooled by a deleted file."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from colaflex.runtime.lock import FileLock, is_locked, leads_to, lock


def in_child(act: Callable[[], object]) -> int:
    """A forked process that acts, says so, and holds what it has until it is killed."""
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        act()
        os.write(writes, b"x")
        signal.pause()
    os.read(reads, 1)
    return child


def kill(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_a_lock_is_refused_while_another_process_has_it_and_freed_by_its_death(
    tmp_path: Path,
) -> None:
    path = tmp_path / "deep" / "lock"
    child = in_child(lambda: FileLock(path).acquire())
    try:
        assert not FileLock(path).acquire(wait=False)
    finally:
        kill(child)
    ours = FileLock(path)
    assert ours.acquire(wait=False)
    ours.release()
    assert path.exists()


def test_a_child_that_inherited_a_lock_does_not_keep_it(tmp_path: Path) -> None:
    ours = FileLock(tmp_path / "lock")
    ours.acquire()
    child = in_child(lambda: None)
    try:
        ours.release()
        assert FileLock(tmp_path / "lock").acquire(wait=False)
    finally:
        kill(child)


def test_who_waits_for_a_file_that_is_deleted_meanwhile_locks_the_new_one(tmp_path: Path) -> None:
    path, got = tmp_path / "lock", threading.Event()
    first = FileLock(path)
    first.acquire()

    def wait() -> None:
        with FileLock(path):
            got.set()

    waits = threading.Thread(target=wait)
    waits.start()
    assert not got.wait(0.2)
    path.unlink()
    with FileLock(path):  # another file of this name
        first.release()
        assert not got.wait(0.2)
    waits.join()
    assert got.is_set()


def test_a_folder_is_locked_as_long_as_its_holder_lives(tmp_path: Path) -> None:
    child = in_child(lambda: lock(os.open(tmp_path, os.O_RDONLY)))
    try:
        assert is_locked(tmp_path)
    finally:
        kill(child)
    assert not is_locked(tmp_path)
    assert not is_locked(tmp_path / "missing")


@pytest.mark.parametrize("moved", [False, True])
def test_a_path_leads_to_what_it_was_opened_as_until_it_is_moved(
    tmp_path: Path, moved: bool
) -> None:
    path = tmp_path / "a"
    path.write_text("")
    with path.open() as file:
        if moved:
            path.rename(tmp_path / "b")
            path.write_text("")
        assert leads_to(path, file.fileno()) == (not moved)


def test_a_folder_that_is_deleted_while_it_is_waited_for_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "cache" / "stage1.lock"
    holder, waiter = FileLock(path), FileLock(path)
    assert holder.acquire()
    waiting = threading.Thread(target=waiter.acquire)
    waiting.start()
    time.sleep(0.5)  # it waits by now
    shutil.rmtree(path.parent)
    holder.release()
    waiting.join(timeout=60)
    assert not waiting.is_alive()
    assert path.exists()
    waiter.release()
