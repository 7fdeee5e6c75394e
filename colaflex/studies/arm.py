"""An arm of a study: one way to spend its budget, with a folder, a lock and trials of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from colaflex.runtime.lock import FileLock

__all__ = ["Arm"]


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
        paths = [*folder.glob("checkpoints/[!.]*"), *folder.glob("seed-*/checkpoints/[!.]*")]
        paths += [*folder.glob("result.json"), *folder.glob("seed-*/result.json")]
        return " ".join(sorted(str(path.relative_to(folder)) for path in paths))

    def changed(self, number: int) -> float:
        """When a trial last wrote something; 0 where it has written nothing."""
        folder = self.trial_folder(number)
        paths = [folder, *folder.glob("*"), *folder.glob("seed-*/*"), *folder.glob("checkpoints/*")]
        times = [path.lstat().st_mtime for path in paths if path.exists()]
        return max(times, default=0.0)

    def trial_folder(self, number: int) -> Path:
        """Of the run, or runs, of a trial."""
        return self.folder / self.name / f"{number:04d}"

    def log_of(self, trial: str) -> Path:
        """Where the traceback of a trial, called NAME/0012, goes."""
        return self.folder / "logs" / f"{trial}.log"
