"""A study: its file, its storage, and the arms in which its budget is spent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.storages import BaseStorage

from colaflex import hints
from colaflex.errors import RunFailure, UserError
from colaflex.runtime.failures import is_request, reason
from colaflex.spec import Spec
from colaflex.studies.arm import Arm
from colaflex.studies.file.study_file import FRESH, SEARCH, StudyFile
from colaflex.studies.objective import Attempt, Point
from colaflex.studies.storage.ownership import is_dead
from colaflex.studies.storage.storages import open_storage, without_password
from colaflex.studies.trials import TrialRecord, counts, records_of

__all__ = ["FRESH", "SEARCH", "Study", "Where"]

FEW = 6
DATA = "data"
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


@dataclass(frozen=True, slots=True)
class Other:
    """A study of the same name, which is another one.

    Attributes:
        name: in the storage.
        complete: trials.
        keys: in which it differs; none where the storage doesn't say.
    """

    name: str
    complete: int
    keys: tuple[str, ...] = ()


class Study:
    """The trials of a study file in a storage.

    Args:
        file: the study file.
        where: its folder and storage.
        storage: opened already, say to be looked at only; None: folder and storage are made.

    Raises:
        UserError: they can't be.
    """

    def __init__(self, file: StudyFile, where: Where, storage: BaseStorage | None = None) -> None:
        self.file, self.where = file, where
        self.storage = _made(where) if storage is None else storage

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
        study = self._load(self.title(arm))
        trials = study.get_trials(deepcopy=False)
        # Those that lost their worker wait for another one, who will say so in the storage.
        dead = {trial.number for trial in trials if is_dead(trial)}
        records = records_of(trials)
        for record in records:
            if record.state == "complete" and len(record.values) != len(self.file.objectives):
                raise UserError(f"trial {record.number} of {arm} is damaged: it has no value")
        return [replace(r, state="waiting") if r.number in dead else r for r in records]

    @property
    def begun(self) -> bool:
        """Whether the storage knows any of its arms."""
        return bool({self.title(name) for name in (*self.arms, FRESH)} & set(self._names()))

    def data(self, arm: str) -> str | None:
        """Digest of the data that the trials of an arm were made on, as far as the storage says."""
        if self.title(arm) not in self._names():
            return None
        digest = self._load(self.title(arm)).user_attrs.get(DATA)
        return digest if isinstance(digest, str) else None

    def remember_data(self, arm: str, digest: str) -> None:
        """Say in the storage which data the trials of an arm are made on."""
        if self.data(arm) != digest:
            self.arm(arm).set_user_attr(DATA, digest)

    def others(self) -> list[Other]:
        """Studies of this name whose space, objectives, base or components were others."""
        mine = {self.title(name) for name in (*self.arms, FRESH)}
        stems = {name: f"{self.file.study}/{name}-" for name in self.arms}
        return [
            self._other(name, arm)
            for name in self._names()
            for arm, stem in stems.items()
            if name.startswith(stem) and name not in mine
        ]

    def _other(self, name: str, arm: str) -> Other:
        study = self._load(name)
        complete = sum(trial.state.name == "COMPLETE" for trial in study.get_trials(False))
        then = study.user_attrs.get("content")
        now = self.file.content(arm)
        return Other(name, complete, _differing(then, now) if isinstance(then, dict) else ())

    def _load(self, title: str) -> optuna.Study:
        return optuna.load_study(study_name=title, storage=self.storage)

    def names_hint(self) -> str:
        """A clause with the nearest name of a study that the storage has."""
        names = {name.partition("/")[0] for name in self._names()}
        return hints.hint(self.file.study, names, "studies there")

    def _names(self) -> list[str]:
        return optuna.get_all_study_names(self.storage)

    def best(self, arm: str) -> TrialRecord | None:
        """The best complete trial, by the first objective."""
        complete = [record for record in self.records(arm) if record.state == "complete"]
        sign = 1 if self.file.objectives[0].direction == "higher" else -1
        return max(complete, key=lambda record: sign * record.values[0], default=None)

    def optima(self) -> dict[str, Point]:
        """The points that are run again on fresh seeds: of every arm, and of the controls."""
        points: dict[str, Point] = {}
        for name in self.arms:
            best = self.best(name)
            if best is not None:
                points[name] = best.point
        return {**points, **self.file.points}

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
        """Counts of the search's trials and its best, the same of the other arms, and failures."""
        rows = {name: self._status(name) for name in self.arms}
        controls = {name: row for name, row in rows.items() if name != SEARCH}
        fresh = counts(self.records(FRESH))
        return {
            "study": self.file.study,
            "storage": without_password(self.where.storage),
            "begun": self.begun,
            "data": self.data(SEARCH),
            **rows[SEARCH],
            "controls": controls,
            "fresh": fresh,
            "failures": self.failures(),
        }

    def failures(self) -> list[dict[str, Any]]:
        """Arm, number and reason of all trials that failed."""
        return [
            {"arm": arm, "trial": record.number, "reason": record.reason or "no reason is known"}
            for arm in (*self.arms, FRESH)
            for record in self.records(arm)
            if record.state == "failed"
        ]

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


def _made(where: Where) -> BaseStorage:
    """The storage and the folder, made where they are missing."""
    try:
        where.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        kind = UserError if is_request(error) else RunFailure
        raise kind(f"--out {where.folder}: can't be made: {reason(error)}") from None
    return open_storage(where.storage, where.folder)


def _differing(then: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, ...]:
    """The keys with other values, or in one of them only."""
    nothing = object()
    return tuple(k for k in sorted({*then, *now}) if then.get(k, nothing) != now.get(k, nothing))
