"""How long a bench will take, by what its runs and records took."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from colaflex.leaderboard.cells import Cell, Job

__all__ = ["Pace"]


class Pace:
    """What was seen of how fast runs are.

    Args:
        fidelity: FLOPs of a trial, as a fraction of a cell's.
        workers: runs side by side.
    """

    def __init__(self, fidelity: float, workers: int) -> None:
        self.fidelity, self.workers = fidelity, workers
        self._cells: list[float] = []
        self._trials: list[float] = []
        self._speeds: list[tuple[float, float]] = []

    def took(self, job: Job, seconds: float) -> None:
        """A run has ended, measuring included."""
        (self._cells if isinstance(job, Cell) else self._trials).append(seconds)

    def recorded(self, flops: float, seconds: float) -> None:
        """A record says what its training took."""
        self._speeds.append((flops, seconds))

    def minutes_of(self, cells: int, trials: int) -> float | None:
        """Minutes of so many runs, by those that have ended; None before the first."""
        if not self._cells and not self._trials:
            return None
        trial = fmean(self._trials) if self._trials else 0.0
        # A cell takes as much longer than a trial as it has FLOPs, until one has ended.
        cell = fmean(self._cells) if self._cells else trial / self.fidelity
        return (cell * cells + trial * trials) / self.workers / 60

    def minutes_for(self, flops: float, more: Sequence[tuple[float, float]] = ()) -> float | None:
        """Minutes of training of so many FLOPs, by what records took; None without any.

        Args:
            flops: of all runs.
            more: FLOPs and seconds of further records.
        """
        known = [*self._speeds, *more]
        done, seconds = (
            (math.fsum(column) for column in zip(*known, strict=True)) if known else (0, 0)
        )
        return flops * seconds / done / 60 / self.workers if done else None
