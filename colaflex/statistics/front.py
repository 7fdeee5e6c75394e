"""What none beats: the Pareto front of rows of values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

__all__ = ["front"]


def front(rows: Iterable[Sequence[float]], signs: Sequence[float]) -> list[int]:
    """Indices of the rows that no other is at least as good as in all values and better in one.

    Args:
        rows: values of each; one with a value that is not finite is left out.
        signs: of each value, 1 where more is better, -1 where less is.
    """
    signed = [tuple(sign * v for sign, v in zip(signs, row, strict=True)) for row in rows]
    known = [index for index, row in enumerate(signed) if all(map(math.isfinite, row))]
    return [
        index
        for index in known
        if not any(
            signed[other] != signed[index]
            and all(o >= v for o, v in zip(signed[other], signed[index], strict=True))
            for other in known
        )
    ]
