"""Where runs lie: the nearest one to a path that holds none."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from colaflex import hints
from colaflex.errors import UserError

__all__ = ["IDENTITY", "holds_run", "meant", "nearest_run", "require_runs"]

IDENTITY = "run.json"
"""The file that makes a folder a run's."""

MOST = 2000
"""Entries of folders that are looked at for the sake of a hint."""


def holds_run(folder: Path) -> bool:
    """Whether a run has begun in a folder."""
    return (folder / IDENTITY).is_file()


def require_runs(out: Path, folders: Iterable[Path]) -> None:
    """Raise UserError where there is no run to resume in any of the folders.

    Args:
        out: what was asked for, which is named.
        folders: of it, one for each seed.
    """
    if any(map(holds_run, folders)):
        return
    seeds = sorted(path.name for path in _folders(out) if holds_run(path))
    if holds_run(out):
        raise UserError(f"{out}: there is nothing to resume: it holds one run; leave --seeds out")
    if seeds:
        listed = ", ".join(seeds[:4])
        raise UserError(
            f"{out}: there is nothing to resume: it holds the runs {listed}; give --seeds as well, "
            "or one of them with --out"
        )
    what = "it is empty" if out.exists() else "there is no such folder"
    if out.is_dir() and any(out.iterdir()):
        what = "it is not empty and holds no run; choose another one with --out"
    raise UserError(
        f"{out}: there is nothing to resume: {what}{meant(out)}; leave --resume out to begin a run "
        "there"
    )


def meant(path: Path) -> str:
    """A clause that names the nearest run; empty where none is near."""
    near = nearest_run(path)
    return "" if near is None else f"; did you mean {near}?"


def nearest_run(path: Path) -> Path | None:
    """The folder nearest by name that holds a run, or runs of several seeds; None without one."""
    home = path.parent
    while not home.is_dir() and home != home.parent:
        home = home.parent
    depth = len(path.parts) - len(home.parts)
    folders = islice(_below([home], depth), MOST)
    runs = (each for each in folders if any(map(holds_run, [each, *_folders(each)])))
    names = [str(each.relative_to(home)) for each in runs if each != path]
    match = hints.nearest(str(path.relative_to(home)), names)
    return None if match is None else home / match


def _below(folders: Iterable[Path], depth: int) -> Iterator[Path]:
    """What is in folders, level by level."""
    level = list(folders)
    for _ in range(depth):
        level = [inner for outer in level for inner in _folders(outer)]
        yield from level


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            inner = [e.name for e in islice(entries, MOST) if e.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    return [folder / name for name in sorted(inner)]
