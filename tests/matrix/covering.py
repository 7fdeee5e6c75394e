"""A small set of cells that together have everything that any of them has."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence, Set
from typing import TypeVar

__all__ = ["covering"]

T = TypeVar("T")


def covering(cells: Sequence[T], features: Callable[[T], Set[Hashable]]) -> list[T]:
    """Some of the cells, with every feature that occurs in any of them.

    Greedy: again and again the first of the cells that bring most new features, which takes at
    most 1 + ln(features of a cell) times the fewest cells (Johnson, 1974).
    """
    left = [(cell, set(features(cell))) for cell in cells]
    chosen = []
    while left := [(cell, missing) for cell, missing in left if missing]:
        best, new = max(left, key=lambda pair: len(pair[1]))
        chosen.append(best)
        left = [(cell, missing - new) for cell, missing in left]
    return chosen
