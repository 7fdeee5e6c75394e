"""What a worker says of its trials on stderr."""

from __future__ import annotations

import time
from typing import TextIO

from colaflex.runtime import terminal
from colaflex.studies.file.study_file import FRESH
from colaflex.studies.objective import Attempt, point_in_words
from colaflex.studies.study import Study
from colaflex.studies.trials import TrialRecord, counts
from colaflex.studies.work.limits import End, Limits
from colaflex.studies.work.worker import Events

__all__ = ["TrialLines"]


class TrialLines(Events):
    """Says on stderr how trials go.

    Args:
        study: the study.
        arm: whose trials they are.
        limits: when the arm ends.
        label: put before what is said.
        stream: where it is said.
    """

    def __init__(
        self, study: Study, arm: str, limits: Limits, label: str = "", stream: TextIO | None = None
    ) -> None:
        self.study, self.arm, self.limits, self.label = study, arm, limits, label
        self.stream = stream
        self._seconds: list[float] = []
        self._began = time.monotonic()

    def begin(self) -> None:
        """Say what stands."""
        number_of = counts(self.study.records(self.arm))
        known = ", ".join(f"{number} {state}" for state, number in number_of.items() if number)
        self._say(f"{self.arm}: {known or 'no trials yet'}{self._aim()}")

    def started(self, attempt: Attempt) -> None:
        """A trial begins, or goes on."""
        self._began = time.monotonic()
        self._say(f"{attempt.name}: {point_in_words(attempt.point)}{_seeds(attempt)}")

    def ended(self, record: TrialRecord) -> None:
        """A trial is complete, pruned or failed."""
        took = time.monotonic() - self._began
        self._seconds.append(took)
        name = f"{self.study.folder_of(self.arm)}/{record.number:04d}"
        self._say(f"{name}: {self._outcome(record)} in {took:.0f} s{self._left()}")

    def waiting(self, running: int) -> None:
        """Nothing to do until one of the trials that run elsewhere ends."""
        self._say(f"{self.arm}: waits for {running} that others run")

    def over(self, end: End) -> None:
        """The arm is over."""
        number_of = counts(self.study.records(self.arm))
        left = f"{number_of['waiting']} wait" if number_of["waiting"] else "none left"
        reasons = {
            "trials": f"complete, with {number_of['complete']} of {self.limits.trials} trials",
            "minutes": f"its {self.limits.minutes or 0:g} minutes are spent",
            "flops": f"its {self.limits.flops or 0:.3g} training FLOPs are spent",
            "sampler": "complete, every point of the plan was tried",
            "queue": f"complete, {left}",
        }
        self._say(f"{self.arm}: {reasons.get(end, end)}")

    def _outcome(self, record: TrialRecord) -> str:
        if record.state == "failed":
            return f"FAILED: {record.reason}"
        names = [objective.metric for objective in self.study.file.objectives]
        values = record.values
        if record.state == "pruned":
            last = max(record.intermediate, default=0)
            return f"pruned at {last} with {names[0]} {record.intermediate.get(last, 0.0):.4g}"
        measured = ", ".join(f"{n} {v:.4g}" for n, v in zip(names, values, strict=True))
        best = self.study.best(self.arm) if self.arm != FRESH else None
        if best is None:
            return measured
        if best.number == record.number:
            return f"{measured} (the best so far)"
        return f"{measured} (best {best.values[0]:.4g}, trial {best.number})"

    def _left(self) -> str:
        """What is left, as far as a number of trials says."""
        number_of, aim = counts(self.study.records(self.arm)), self.limits.trials
        if self.arm == FRESH:
            left = number_of["waiting"] + number_of["running"]
            return f"; {left} left" if left else "; none left"
        if aim is None:
            return f"; {number_of['complete']} complete"
        ended = number_of["complete"] + number_of["pruned"] + number_of["failed"]
        mean = sum(self._seconds) / len(self._seconds)
        share = ended / max(1, number_of["complete"])
        missing = max(0, aim - number_of["complete"])
        at_once = max(1, number_of["running"] + 1)
        minutes = missing * share * mean / at_once / 60
        return f"; {number_of['complete']} of {aim} complete, about {minutes:.1f} minutes left"

    def _aim(self) -> str:
        limits = self.limits
        if self.arm == FRESH:
            return ""
        parts = [
            f"{limits.trials} complete trials" if limits.trials is not None else "",
            f"{limits.minutes:g} minutes" if limits.minutes is not None else "",
            f"{limits.flops:.3g} training FLOPs" if limits.flops is not None else "",
        ]
        return f"; goes on to {' or '.join(part for part in parts if part)}"

    def _say(self, text: str) -> None:
        # To what stderr is now: while a bar is shown, that puts lines above it.
        terminal.say(f"{self.label}{text}", self.stream)


def _seeds(attempt: Attempt) -> str:
    if attempt.split == "test":
        return f" (seed {attempt.seeds[0]}, test split)"
    return f" ({len(attempt.seeds)} seeds)" if len(attempt.seeds) > 1 else ""
