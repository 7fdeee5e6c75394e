"""The files of a path: one file, a folder with its sub-folders, or a glob.

What nobody means is passed over, and listed with its reason: hidden files and folders, the
project's own run folders and its cache, what is no regular file. Linked folders are followed, each
once.
"""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from colaflex.errors import UserError
from colaflex.files.reading import open_regular, user_path
from colaflex.files.writing import cache_dir

__all__ = ["Listing", "list_files"]

RUN_FILE = "run.json"
"""Every run folder has one."""

NAMED = 3


@dataclass
class Listing:
    """Files, sorted by path.

    Attributes:
        files: that are read.
        omitted: files and folders that are passed over, by reason.
    """

    files: list[Path] = field(default_factory=list)
    omitted: dict[str, list[str]] = field(default_factory=dict)

    def omit(self, reason: str, path: PurePath) -> None:
        """Note something that is not read."""
        names = self.omitted.setdefault(reason, [])
        if str(path) not in names:
            names.append(str(path))

    def omissions(self) -> str:
        """What was passed over, in words; "" where it is nothing."""
        return "; ".join(
            f"{reason}: {', '.join(sorted(names)[:NAMED])}"
            + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
            for reason, names in sorted(self.omitted.items())
        )


def list_files(pattern: Path, suffixes: Sequence[str]) -> Listing:
    """The files of a path.

    Args:
        pattern: a file, which is taken whatever its name; a folder; or a glob.
        suffixes: of the files that are taken out of folders, in small letters.

    Raises:
        UserError: the path can't be looked at.
    """
    path, listing = user_path(pattern), Listing()
    mode = _mode(path)
    if mode is None:
        candidates = _matches(path, listing)
    elif stat.S_ISDIR(mode):
        candidates = (p for p in _below(path, path, listing) if p.suffix.lower() in suffixes)
    else:
        listing.files = [path]
        return listing
    for each in sorted(set(candidates), key=lambda each: each.as_posix()):
        if each.is_file():
            listing.files.append(each)
        elif not each.is_dir():
            listing.omit("no regular file", each)
    return listing


def _mode(path: Path) -> int | None:
    """Its kind, or None where there is nothing; raises UserError where it can't be looked at."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError):
        open_regular(path).close()  # which says why
        return None


def _below(folder: Path, root: Path, listing: Listing) -> Iterator[Path]:
    """The files in a folder and below it that are not passed over."""
    for where, names in _folders(folder, root, listing):
        for name in names:
            if name.startswith("."):
                listing.omit("hidden", (where / name).relative_to(root))
            else:
                yield where / name


def _folders(folder: Path, root: Path, listing: Listing) -> Iterator[tuple[Path, list[str]]]:
    """A folder and those below it, linked ones as well, each once, with the files in them."""
    start = folder.resolve()
    seen = {start}

    def entered(path: Path) -> bool:
        if not _is_own_text(path, root, listing):
            return False
        home = path.resolve()
        around = home.is_relative_to(start) or start.is_relative_to(home)
        if home in seen or (around and path.is_symlink()):
            listing.omit("linked, and read in its own place", path.relative_to(root))
            return False
        seen.add(home)
        return True

    for where, names, files in os.walk(folder, followlinks=True, onerror=_refuse):
        names[:] = [name for name in sorted(names) if entered(Path(where) / name)]
        yield Path(where), files


def _refuse(error: OSError) -> None:
    raise UserError(f"corpus.path: {error.filename} can't be read: {error.strerror}") from None


def _is_own_text(path: Path, root: Path, listing: Listing) -> bool:
    """Whether something found below a root is one's own text, as far as its place says."""
    at = root
    for part in path.relative_to(root).parts:
        at = at / part
        if part.startswith("."):
            listing.omit("hidden", at.relative_to(root))
            return False
        if os.path.lexists(at / RUN_FILE):
            listing.omit("a run folder", at.relative_to(root))
            return False
        if at.resolve() == cache_dir().resolve():
            listing.omit("the cache", at.relative_to(root))
            return False
    return True


def _matches(pattern: Path, listing: Listing) -> Iterator[Path]:
    """What a glob matches; hidden things only where the pattern itself names some."""
    parts = pattern.parts
    fixed = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    root, rest = Path(*parts[:fixed]), parts[fixed:]
    if not rest or not root.is_dir():
        return
    named = any(part.startswith(".") for part in rest)
    try:
        for path in _expanded(root, rest, root, listing):
            if named or _is_own_text(path, root, listing):
                yield path
    except ValueError as error:
        raise UserError(f"corpus.path: {pattern} is no glob: {error}") from error


def _expanded(base: Path, parts: Sequence[str], root: Path, listing: Listing) -> Iterator[Path]:
    """Matches below a folder; ** is the folder and all below it."""
    if "**" not in parts:
        yield from base.glob("/".join(parts))
        return
    at = parts.index("**")
    rest = parts[at + 1 :] or ("*",)
    for head in base.glob("/".join(parts[:at])) if at else (base,):
        if head.is_dir():
            for folder, _ in _folders(head, root, listing):
                yield from _expanded(folder, rest, root, listing)
