"""A study: its file, its storage, and the arms in which its budget is spent."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna

from colaflex.spec import Spec
from colaflex.studies.file.study_file import FRESH, SEARCH, StudyFile
from colaflex.studies.objective import Attempt, Point
from colaflex.studies.trials import TrialRecord, records_of
from colaflex.studies.work.arm import Arm

__all__ = ["FRESH", "SEARCH", "Study", "Where"]

FEW = 6
PASSWORD = re.compile(r"(://[^:/@]*:).*@")
optuna.logging.set_verbosity(optuna.logging.ERROR)


@dataclass(frozen=True, slots=True)
class Where:
    """Where a study is kept.

    Attributes:
        folder: of its trials' run folders, and of its journal.
        storage: what the study file says, or another URL.
    """

    folder: Path
    storage: str

    @classmethod
    def of(cls, file: StudyFile, out: Path | None = None, storage: str | None = None) -> Where:
        """As asked for, else as the file says."""
        return cls(out or Path("runs") / "studies" / file.study, storage or file.storage)


class Study:
    """The trials of a study file in a storage.

    Args:
        file: the study file.
        where: its folder and storage.
    """

    def __init__(self, file: StudyFile, where: Where) -> None:
        from colaflex.studies.storage.storages import open_storage

        self.file, self.where = file, where
        where.folder.mkdir(parents=True, exist_ok=True)
        self.storage = open_storage(where.storage, where.folder)

    @property
    def arms(self) -> tuple[str, ...]:
        """Where budget is spent by a sampler: `search` first, then the controls that search."""
        return self.file.arms

    def title(self, arm: str) -> str:
        """The name of an arm's study in the storage: NAME/ARM-IDENTITY."""
        return f"{self.file.study}/{arm}-{self.file.identity(arm)}"

    def arm(self, name: str) -> optuna.Study:
        """An arm's study in the storage, made where it is missing."""
        directions: list[Literal["maximize", "minimize"]] = [
            "maximize" if objective.direction == "higher" else "minimize"
            for objective in self.file.objectives
        ]
        return optuna.create_study(
            storage=self.storage,
            study_name=self.title(name),
            directions=directions,
            load_if_exists=True,
        )

    def records(self, arm: str) -> list[TrialRecord]:
        """The trials of an arm; none where it has not begun."""
        if self.title(arm) not in self._names():
            return []
        return records_of(self.arm(arm).get_trials(deepcopy=False))

    def others(self) -> dict[str, int]:
        """Studies of this name whose space, objectives or base were others -> complete trials."""
        mine = {self.title(name) for name in (*self.arms, FRESH)}
        stems = tuple(f"{self.file.study}/{name}-" for name in self.arms)
        found = {}
        for name in self._names():
            if name.startswith(stems) and name not in mine:
                trials = optuna.load_study(study_name=name, storage=self.storage).get_trials(False)
                found[name] = sum(trial.state.name == "COMPLETE" for trial in trials)
        return found

    def _names(self) -> list[str]:
        return optuna.get_all_study_names(self.storage)

    def best(self, arm: str) -> TrialRecord | None:
        """The best complete trial, by the first objective."""
        complete = [record for record in self.records(arm) if record.state == "complete"]
        sign = 1 if self.file.objectives[0].direction == "higher" else -1
        return max(complete, key=lambda record: sign * record.values[0], default=None)

    def optima(self) -> dict[str, Point]:
        """The points that are run again on fresh seeds: of every arm, and of the controls."""
        found: dict[str, Point] = {}
        for name in self.arms:
            best = self.best(name)
            if best is not None:
                found[name] = best.point
        return {**found, **self.file.points}

    def fresh_attempts(self) -> list[Attempt]:
        """The runs on fresh seeds and the test split of all optima, each point once."""
        fresh = self.file.fresh
        points = list({str(sorted(p.items())): p for p in self.optima().values()}.values())
        return [
            Attempt("", point, (seed,), "test")  # named by the trial's number, when it has one
            for seed in range(fresh.first, fresh.first + fresh.seeds)
            for point in points
        ]

    def spec(self, attempt: Attempt) -> Spec:
        """The spec of an attempt."""
        file = self.file
        base = file.trial_spec if attempt.split == "validation" else file.fresh_spec
        return file.searched.spec(base, attempt.point)

    def reap(self) -> None:
        """Let trials of dead workers wait for others; nothing is made that was not there."""
        from colaflex.studies.storage.ownership import reap

        for name in (*self.arms, FRESH):
            if self.title(name) in self._names():
                reap(self.arm(name), self.about(name).lock)

    def about(self, arm: str) -> Arm:
        """What the trials of an arm have in common."""
        first = self.file.base_spec.seed
        return Arm(
            name=self.folder_of(arm),
            folder=self.where.folder,
            objectives=tuple(objective.metric for objective in self.file.objectives),
            seeds=tuple(range(first, first + self.file.seeds)),
        )

    def folder_of(self, arm: str) -> str:
        """The name of the folder with an arm's trials; another space has another one."""
        return f"{arm}-{self.file.identity(arm)[:FEW]}"

    def status(self) -> dict[str, Any]:
        """Counts of the search's trials and its best, and the same of the other arms."""
        rows = {name: self._status(name) for name in self.arms}
        controls = {name: row for name, row in rows.items() if name != SEARCH}
        fresh = counts(self.records(FRESH))
        return {
            "study": self.file.study,
            "storage": PASSWORD.sub(r"\1***@", self.where.storage),
            **rows[SEARCH],
            "controls": controls,
            "fresh": fresh,
        }

    def _status(self, arm: str) -> dict[str, Any]:
        records = self.records(arm)
        return {**counts(records), "best": self._best_json(arm)}

    def _best_json(self, arm: str) -> dict[str, Any] | None:
        best = self.best(arm)
        if best is None:
            return None
        names = [objective.metric for objective in self.file.objectives]
        return {
            "trial": best.number,
            "values": dict(zip(names, best.values, strict=True)),
            "point": dict(best.point),
        }


def counts(records: list[TrialRecord]) -> dict[str, int]:
    """How many trials are in each state."""
    states = ("complete", "pruned", "failed", "running", "waiting")
    return {state: sum(record.state == state for record in records) for state in states}
