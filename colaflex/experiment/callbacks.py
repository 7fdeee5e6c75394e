"""The moments of a run's training, told to plugins and to the cache of stage 1."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from colaflex.hooks import RunInfo
from colaflex.host.life_cycle import LifeCycle
from colaflex.training.trainer import StageResult

__all__ = ["RunCallbacks"]


@dataclass(frozen=True)
class RunCallbacks:
    """The trainer's moments, told to the plugins' life-cycle hooks."""

    life_cycle: LifeCycle
    info: RunInfo
    keep: Callable[[StageResult], None]

    def started(self) -> None:
        """Training begins or is resumed."""
        self.life_cycle.run_started(self.info)

    def step(self, record: Mapping[str, Any]) -> None:
        """There are new figures."""
        self.life_cycle.step(self.info, record)

    def checkpoint(self, path: Path) -> None:
        """A checkpoint has been written."""
        self.life_cycle.checkpoint(self.info, path)

    def stage_ended(self, result: Mapping[str, Any]) -> None:
        """A stage is done."""
        self.keep(StageResult(**result))

    def ended(self, result: Mapping[str, Any]) -> None:
        """Training is over; the run is not, until it is measured."""
