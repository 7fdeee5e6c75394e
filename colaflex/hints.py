"""Help for a name that does not exist: the nearest one, and all of them where they are few."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["hint", "nearest"]

MANY = 20


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The most similar of the names, or None where none is similar."""
    matches = difflib.get_close_matches(name, list(names), n=1, cutoff=0.6)
    return matches[0] if matches else None


def hint(name: str, names: Iterable[str], what: str = "there are") -> str:
    """A clause to put behind "unknown x 'name'": nearest name, and the list if at most 20."""
    ordered = sorted(set(names))
    match = nearest(name, ordered)
    clause = f"; did you mean {match!r}?" if match else ""
    if not ordered:
        return f"{clause} ({what}: none)"
    if len(ordered) <= MANY:
        return f"{clause} ({what}: {', '.join(ordered)})"
    return clause
