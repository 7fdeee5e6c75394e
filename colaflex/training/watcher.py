"""Who watches a training run: displays, plugins, the cache of stage 1, studies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Reached", "Record", "Watcher", "Watchers", "counter"]

Record = Mapping[str, Any]
"""One line of metrics.jsonl."""


@dataclass(frozen=True, slots=True)
class Reached:
    """A rung that training has come to.

    Attributes:
        number: of the rung, from 1.
        flops: model FLOPs so far of every stage trained here, by name.
        seconds: of training so far.
    """

    number: int
    flops: Mapping[str, int]
    seconds: float


class Watcher:
    """The moments of a run; whoever wants to see some of them overrides these.

    A display only displays. What a watcher raises ends the training.

    Attributes:
        rungs: shares of the last stage's steps, increasing, each within (0, 1), at which `look`
            is called.

    Example:
        >>> class Printer(Watcher):
        ...     def record(self, record):
        ...         print(f"{record['stage']}: step {record['step']}")
        >>> Printer().record({"stage": "prior", "step": 50, "loss": 1.5})
        prior: step 50
    """

    rungs: Sequence[float] = ()

    def started(self) -> None:
        """Training begins or is resumed."""

    def begin(self, stage: str, done: int, total: int) -> None:
        """A stage begins, or goes on."""

    def advance(self, done: int) -> None:
        """Another step is done; called after every one, so it must cost nothing."""

    def record(self, record: Record) -> None:
        """A line has been added to metrics.jsonl."""

    def checkpoint(self, path: Path) -> None:
        """A checkpoint has been written and verified."""

    def look(self, reached: Reached) -> None:
        """A rung is reached; the model is in evaluation mode, with its averaged weights.

        Afterwards training goes on as if nobody had looked. A training of one process only.
        """

    def stage_ended(self, result: Record) -> None:
        """A stage is done, its closing work included; what it took, by name."""

    def count(self, what: str, done: int, total: int, unit: str) -> None:
        """So many of something beside training are done; from 0, or 1, to `total`."""

    def end(self) -> None:
        """Training, or what came after it, is over, in whatever way."""


class Watchers(Watcher):
    """Several as one, told in their order."""

    def __init__(self, watchers: Sequence[Watcher]) -> None:
        self.watchers = watchers

    def started(self) -> None:
        """As each."""
        for watcher in self.watchers:
            watcher.started()

    def begin(self, stage: str, done: int, total: int) -> None:
        """As each."""
        for watcher in self.watchers:
            watcher.begin(stage, done, total)

    def advance(self, done: int) -> None:
        """As each."""
        for watcher in self.watchers:
            watcher.advance(done)

    def record(self, record: Record) -> None:
        """As each."""
        for watcher in self.watchers:
            watcher.record(record)

    def checkpoint(self, path: Path) -> None:
        """As each."""
        for watcher in self.watchers:
            watcher.checkpoint(path)

    def stage_ended(self, result: Record) -> None:
        """As each."""
        for watcher in self.watchers:
            watcher.stage_ended(result)

    def count(self, what: str, done: int, total: int, unit: str) -> None:
        """As each."""
        for watcher in self.watchers:
            watcher.count(what, done, total, unit)

    def end(self) -> None:
        """As each."""
        for watcher in self.watchers:
            watcher.end()

    def rungs_of(self, steps: int) -> Mapping[int, Sequence[tuple[Watcher, int]]]:
        """Step -> who looks there, and at which of its rungs, of a last stage of so many steps.

        Rungs of one watcher that fall on one step are one; one on the last step is none.
        """
        looks: dict[int, dict[Watcher, int]] = {}
        for watcher in self.watchers:
            for number, share in enumerate(watcher.rungs, 1):
                step = max(1, round(share * steps))
                if step < steps:
                    looks.setdefault(step, {}).setdefault(watcher, number)
        return {step: list(rungs.items()) for step, rungs in looks.items()}


def counter(watcher: Watcher | None, what: str, unit: str) -> Callable[[int, int], None]:
    """What to call with how many of how many are done."""
    heard = watcher or Watcher()
    return lambda done, total: heard.count(what, done, total, unit)
