"""Positions of a block at times of their own: the left ahead of the right, or each by itself.

All positions go from noise to data at one pace, but each begins only when the one left of it has
gone a share of its way, the lead s. At s = 0 they go together; at s = 1 one after the other, each
behind clean ones and before noise. A clock runs over the block's whole way, which is 1 + s (K - 1)
times as long as that of one of its K positions. What is known stands at its end and is not waited
for.

References:
    Diffusion Forcing (Chen et al., 2024), for times of each position,
    https://arxiv.org/abs/2407.01392; Rolling Diffusion Models (Ruhe et al., 2024), for a window
    that slides along, https://arxiv.org/abs/2402.09470.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from colaflex.interfaces.noise import Noise
from colaflex.interfaces.schedule import Schedule
from colaflex.priors.path import Path
from colaflex.priors.position_sampling import places

__all__ = ["apart", "densities", "level_times", "staggered"]

CELLS = 4096
"""Into how many equal shares a law is cut to find its density."""

WIDTH = 1 / 256
"""Of the times over which a density is taken."""


def staggered(path: Path, lead: float, schedule: Schedule, noise: Noise, batch: int) -> Path:
    """The path at times of a clock, weighed so that every position's times have the schedule's law.

    A free position of each block is drawn; the path's time is its, and tells where the clock
    stands. The others count by the density of their own times: p(t) over the mean of all free
    ones'.

    Args:
        path: at (samples · batch, blocks) times.
        lead: s.
        schedule: the law p.
        noise: of the step.
        batch: rows of the batch, of which the path has some noisings.
    """
    place, free = places(path.masks.pinned)
    shape = (batch, len(path.data) // batch, path.data.shape[1])
    draws = noise.uniform("flow pivot", shape, path.data).transpose(0, 1).flatten(0, 1)
    pivot = (draws[..., None] * free).long().clamp(max=free - 1)
    times = (path.times[..., None] + lead * (place - pivot)).clamp(0.0, 1.0)
    times = torch.where(path.masks.pinned, 0.0, times)
    density = densities(schedule, times)
    weights = free * density / density.sum(-1, keepdim=True).clamp(min=1e-12)
    # Where the law is too rare for its table, the position that was drawn counts alone.
    drawn = (place == pivot) & ~path.masks.pinned
    weights = torch.where(density.sum(-1, keepdim=True) > 0, weights, (free * drawn).to(weights))
    # What is clean is history to the others, and carries no gradient to an encoder.
    data = torch.where(times[..., None] > 0, path.data, path.data.detach())
    return replace(path, data=data, times=times, weights=weights)


def apart(path: Path, schedule: Schedule, noise: Noise, batch: int) -> Path:
    """The path at times that are drawn for each position by itself."""
    samples, (blocks, block) = len(path.data) // batch, path.data.shape[1:3]
    times = schedule.draw(noise, (batch, samples, blocks, block), path.data, "flow position times")
    return replace(path, times=times.transpose(0, 1).flatten(0, 1))


def densities(schedule: Schedule, times: Tensor) -> Tensor:
    """p(t) of a schedule's law, 0 outside (0, 1); its mean over a few thousandths about each t."""
    shares = torch.linspace(0.0, 1.0, CELLS + 1, dtype=torch.float64, device=times.device)
    edges = schedule.quantile(shares).double().contiguous()

    def below(time: Tensor) -> Tensor:
        cell = torch.searchsorted(edges, time.clamp(0.0, 1.0).contiguous(), right=True) - 1
        cell = cell.clamp(0, CELLS - 1)
        low, high = edges[cell], edges[cell + 1]
        inside = (time.clamp(0.0, 1.0) - low) / (high - low).clamp(min=1e-12)
        return (cell + inside.clamp(0.0, 1.0)) / CELLS

    exact = times.double()
    mass = below(exact + WIDTH / 2) - below(exact - WIDTH / 2)
    return torch.where((times > 0) & (times < 1), mass / WIDTH, 0.0).to(times)


def level_times(like: Tensor, time: float, lead: float) -> list[Tensor]:
    """For each position of a block, the times of all when it is at a given time.

    Args:
        like: (..., block).
        time: of that position.
        lead: s.
    """
    steps = torch.arange(like.shape[-1], device=like.device)
    at = ((time + lead * (steps - place)).clamp(0.0, 1.0) for place in steps)
    return [each.to(like).expand_as(like) for each in at]
