"""What a worker is told: the arm of a study that it works for, when to stop, whom to tell."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from colaflex.runtime.lock import FileLock
from colaflex.studies.objective import Attempt
from colaflex.studies.trials import TrialRecord

__all__ = ["Arm", "Events", "Limits", "Silent"]

HOPELESS = 20
"""Trials in a row without a complete one that end a search which has none at all."""
FRUITLESS = 50
"""As many that end one which has some, at least."""
UNKNOWN = 200
"""As many, where no number of trials is asked for."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When a search is over.

    Attributes:
        trials: completed ones, of all workers.
        minutes: in which at least one trial ran.
        flops: training FLOPs of all trials that ended, each stage 1 counted once.
        failures: in a row, which end it with an error.
    """

    trials: int | None = None
    minutes: float | None = None
    flops: float | None = None
    failures: int = 5

    def fruitless(self, complete: int) -> int:
        """Trials in a row, pruned or failed, which end it with an error: none gets to its end.

        Args:
            complete: how many ever got there.
        """
        if not complete:
            return max(HOPELESS, self.failures)
        return max(FRUITLESS, self.trials or UNKNOWN, self.failures)


@dataclass(frozen=True, slots=True)
class Arm:
    """What the trials of a study have in common.

    Attributes:
        name: of the arm: its trials are called NAME/0012.
        folder: of the study; lock and logs are in it.
        objectives: names of the metrics that are searched.
        seeds: of the runs of a fresh trial.
        split: that a fresh trial is measured on.
    """

    name: str
    folder: Path
    objectives: tuple[str, ...]
    seeds: tuple[int, ...] = (0,)
    split: Literal["validation", "test"] = "validation"

    @property
    def lock(self) -> FileLock:
        """What workers take turns with: one lock for each of them, on the same file."""
        return FileLock(self.folder / f"{self.name}.lock")

    def reached(self, number: int) -> str:
        """The checkpoints and results that a trial has written; "" where there are none."""
        folder = self.trial_folder(number)
        found = [*folder.glob("checkpoints/[!.]*"), *folder.glob("seed-*/checkpoints/[!.]*")]
        found += [*folder.glob("result.json"), *folder.glob("seed-*/result.json")]
        return " ".join(sorted(str(path.relative_to(folder)) for path in found))

    def changed(self, number: int) -> float:
        """When a trial last wrote something; 0 where it has written nothing."""
        folder = self.trial_folder(number)
        found = [folder, *folder.glob("*"), *folder.glob("seed-*/*"), *folder.glob("checkpoints/*")]
        times = [path.lstat().st_mtime for path in found if path.exists()]
        return max(times, default=0.0)

    def trial_folder(self, number: int) -> Path:
        """Of the run, or runs, of a trial."""
        return self.folder / self.name / f"{number:04d}"

    def log_of(self, trial: str) -> Path:
        """Where the traceback of a trial, called NAME/0012, goes."""
        return self.folder / "logs" / f"{trial}.log"


class Events(Protocol):
    """Told of what a worker does."""

    def started(self, attempt: Attempt) -> None:
        """A trial begins, or goes on."""

    def ended(self, record: TrialRecord) -> None:
        """A trial is complete, pruned or failed."""

    def waiting(self, running: int) -> None:
        """Nothing to do until one of the trials that run elsewhere ends; said once."""


class Silent:
    """Events that nobody is told of."""

    def started(self, attempt: Attempt) -> None:
        """Nothing."""

    def ended(self, record: TrialRecord) -> None:
        """Nothing."""

    def waiting(self, running: int) -> None:
        """Nothing."""
