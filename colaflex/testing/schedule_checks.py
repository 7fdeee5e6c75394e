"""What a schedule promises."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from colaflex.interfaces.noise import Noise
from colaflex.testing.probes import demand_close, demand_own_draws
from colaflex.testing.results import Fault
from colaflex.testing.subject import Subject

__all__ = ()

ROWS, BLOCKS, DIM = 512, 8, 16


def _schedule(subject: Subject, **options: object) -> Any:
    config = subject.with_options(**options) if options else None
    return subject.build(config, latent_dim=DIM)


def _shares(count: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.linspace(0.0, 1.0, count, dtype=dtype)


def quantiles_rise(subject: Subject) -> None:
    """Quantiles rise with the share, from 0 at share 0 to 1 at share 1, in the shares' dtype."""
    schedule = _schedule(subject)
    for dtype in (torch.float32, torch.float64):
        times: Tensor = schedule.quantile(_shares(1025, dtype))
        if times.dtype != dtype or times.shape != (1025,):
            raise Fault(f"shares of {dtype} (1025,) give {times.dtype} {tuple(times.shape)}")
        if not bool((times.diff() >= 0).all()):
            raise Fault("a larger share gives an earlier time")
        if float(times[0]) != 0.0 or float(times[-1]) != 1.0:
            raise Fault(f"the law reaches from {float(times[0])} to {float(times[-1])}")
        if not bool(times.unique().numel() > 512):
            raise Fault("different shares give the same time")


def draws_follow_the_law(subject: Subject) -> None:
    """Draws, stratified or not, are distributed as the quantiles say (Kolmogorov-Smirnov)."""
    for stratified in (False, True):
        schedule = _schedule(subject, stratified=stratified)
        times: Tensor = schedule.draw(Noise(0), (ROWS, BLOCKS), torch.zeros(1), "times")
        if times.shape != (ROWS, BLOCKS):
            raise Fault(f"times of shape {(ROWS, BLOCKS)} come as {tuple(times.shape)}")
        fine = _shares(8193)
        drawn = times.double().flatten().sort().values
        below = torch.searchsorted(drawn, schedule.quantile(fine), right=True) / len(drawn)
        distance = float((below - fine).abs().max())
        # 1.95 / sqrt(n) is exceeded by one in a thousand seeds; the seed is always this one.
        if distance > 1.95 / len(drawn) ** 0.5:
            kind = "stratified draws" if stratified else "draws"
            raise Fault(f"{kind} miss the quantiles by {distance:.3f}")


def same_for_any_split(subject: Subject) -> None:
    """A process that draws some of the rows draws what it would among all of them."""
    for stratified in (False, True):
        schedule, like = _schedule(subject, stratified=stratified), torch.zeros(1)
        whole = schedule.draw(Noise(0, 3), (8, 2), like, "times")
        part = schedule.draw(Noise(0, 3, first=5, total=8), (3, 2), like, "times")
        demand_close(part, whole[5:], 1e-6, "rows alone and among others have other times")


def reproducible(subject: Subject) -> None:
    """Times are a function of the draws that it is given."""
    schedule = _schedule(subject)
    demand_own_draws(lambda: [schedule.draw(Noise(0), (16, 2), torch.zeros(1), "times")], "draw()")
