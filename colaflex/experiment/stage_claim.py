"""One process trains a stage 1, and the others find it in the cache."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from colaflex.experiment.stage_cache import stage_one_path
from colaflex.runtime.lock import FileLock
from colaflex.training.callbacks import Record
from colaflex.training.hardware import Precision
from colaflex.training.progress import Progress

__all__ = ["ReleasingProgress", "StageOneHeld", "claimed"]

STAGE1 = "representation"


class StageOneHeld(Exception):
    """Another process trains this stage 1."""


@contextmanager
def claimed(digest: str, wait: bool = False, precision: Precision = "fp32") -> Iterator[None]:
    """Hold a stage 1 that is not trained yet; nothing is held where it is, or there is none.

    Args:
        digest: of the stage 1, or "" where there is none.
        wait: until whoever holds it has trained it, or has died.
        precision: in which it is trained.

    Raises:
        StageOneHeld: another process holds it, and `wait` was not asked for.
    """
    path = stage_one_path(digest, precision)
    if not digest or path.exists():
        yield
        return
    lock = FileLock(path.with_suffix(".lock"))
    if not lock.acquire(wait):
        raise StageOneHeld
    try:
        yield
    finally:
        lock.release()


class ReleasingProgress:
    """Progress of a run that ends the claim on its stage 1 when another stage begins.

    Args:
        shown: the progress that is shown.
        claim: what is held until stage 1 is over.
    """

    def __init__(self, shown: Progress, claim: ExitStack) -> None:
        self._shown, self._claim = shown, claim

    def begin(self, stage: str, done: int, total: int) -> None:
        """A stage begins, or goes on."""
        self._shown.begin(stage, done, total)
        if stage != STAGE1:
            self._claim.close()

    def advance(self, done: int) -> None:
        """Another step is done."""
        self._shown.advance(done)

    def record(self, record: Record) -> None:
        """There are new figures."""
        self._shown.record(record)

    def end(self) -> None:
        """Training is over."""
        self._shown.end()

    def count(self, what: str, done: int, total: int, unit: str) -> None:
        """So many of something beside training are done."""
        self._shown.count(what, done, total, unit)
