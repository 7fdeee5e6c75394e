"""Sampling a block whose positions are at times of their own; how these come, `stagger` says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from colaflex.priors.block_sampling import Estimate, PinnedNoise, fresh_share

__all__ = ["clock_times", "descended_apart", "places"]


def places(pinned: Tensor) -> tuple[Tensor, Tensor]:
    """Where free positions stand among those of their block, and how many there are.

    Args:
        pinned: (..., block) bool, what is known.

    Returns:
        (..., block), from 0; what is known stands nowhere. And (..., 1), at least 1.
    """
    free = (~pinned).long()
    return (free.cumsum(-1) - 1).clamp(min=0), free.sum(-1, keepdim=True).clamp(min=1)


def clock_times(
    grid: Callable[[float], float], steps: int, lead: float, pinned: Tensor
) -> list[Tensor]:
    """The times of all positions at each of a sampler's steps, from the noise to the data.

    Args:
        grid: share of a position's way -> its time.
        steps: intervals of the block's whole way.
        lead: s.
        pinned: (rows or 1, block) bool, what is known.

    Returns:
        (rows or 1, block, 1), steps + 1 times.
    """
    place, free = places(pinned)
    where, most = place.tolist(), free[:, 0].tolist()
    known, table = pinned.tolist(), dict[float, float]()
    times = []
    for step in range(steps + 1):
        rows = []
        for row, (at, count) in enumerate(zip(where, most, strict=True)):
            gone = step / steps * (1.0 + lead * (count - 1))
            ways = [round(min(max(gone - lead * i, 0.0), 1.0), 9) for i in at]
            for way in ways:
                if way not in table:
                    table[way] = grid(way)
            rows.append(
                [0.0 if given else table[way] for way, given in zip(ways, known[row], strict=True)]
            )
        times.append(torch.tensor(rows, dtype=torch.float64, device=pinned.device)[..., None])
    return times


def descended_apart(
    estimate: Estimate, draw: PinnedNoise, times: Sequence[Tensor], renoise: float | str
) -> Tensor:
    """From noise to the last estimate of each position, which rests before and behind its way.

    Args:
        estimate: of the clean latents.
        draw: fresh noise; draw(0) is where it begins.
        times: of the positions, from `clock_times`.
        renoise: see `fresh_share`.
    """
    points = draw(0)
    kind = torch.promote_types(points.dtype, torch.float32)
    for step, (time, then) in enumerate(pairwise(each.to(kind) for each in times)):
        clean = estimate(step, time, points)
        noise = (points - (1.0 - time) * clean) / time.clamp(min=1e-6)
        if renoise:
            share = _fresh(renoise, time, then).to(points)
            noise = (1.0 - share.square()).sqrt() * noise + share * draw(step + 1)
        moved = torch.lerp(clean, noise, then.to(points.dtype)).to(points.dtype)
        points = draw.pin(torch.where(then < time, moved, points))
    return points


def _fresh(renoise: float | str, time: Tensor, then: Tensor) -> Tensor:
    pairs = zip(time.flatten().tolist(), then.flatten().tolist(), strict=True)
    shares = [fresh_share(renoise, t, s) if 0.0 < s < t else 0.0 for t, s in pairs]
    return torch.tensor(shares, dtype=torch.float64, device=time.device).view_as(time)
