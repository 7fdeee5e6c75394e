"""A point in words."""

from __future__ import annotations

from colaflex.studies.objective import Point

__all__ = ["point_in_words"]


def point_in_words(point: Point) -> str:
    """`latent_dim 16, loc 1.04`: the last parts of keys, whole keys where these are not unique."""
    ends = [path.rpartition(".")[2] for path in point]
    names = [end if ends.count(end) == 1 else path for path, end in zip(point, ends, strict=True)]
    values = [f"{v:.4g}" if isinstance(v, float) else str(v) for v in point.values()]
    return ", ".join(f"{n} {v}" for n, v in zip(names, values, strict=True))
