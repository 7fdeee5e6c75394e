"""What a run does while it is trained, beside training: plugins hear of it, stage 1 is kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from colaflex.experiment.stage_cache import StageOne, save_stage_one
from colaflex.hooks import RunInfo
from colaflex.host.life_cycle import LifeCycle
from colaflex.interfaces.language_model import LanguageModel
from colaflex.training.hardware import Precision
from colaflex.training.watcher import Record, Watcher

__all__ = ["PluginWatcher", "StageOneKeeper"]


@dataclass(frozen=True, eq=False)
class PluginWatcher(Watcher):
    """Tells the moments of a run to plugins, by their life-cycle hooks."""

    life_cycle: LifeCycle
    run: RunInfo

    def started(self) -> None:
        """Training begins or is resumed."""
        self.life_cycle.run_started(self.run)

    def record(self, record: Record) -> None:
        """There are new figures."""
        self.life_cycle.step(self.run, record)

    def checkpoint(self, path: Path) -> None:
        """A checkpoint has been written."""
        self.life_cycle.checkpoint(self.run, path)


@dataclass(frozen=True, eq=False)
class StageOneKeeper(Watcher):
    """Puts a finished stage 1 into the cache, for runs that differ in their prior."""

    model: LanguageModel
    digest: str
    precision: Precision

    def stage_ended(self, result: Record) -> None:
        """Keep it, if it was stage 1."""
        if result["stage"] == "representation":
            cost = StageOne(**{key: value for key, value in result.items() if key != "stage"})
            save_stage_one(self.model, cost, self.digest, self.precision)
