"""One process trains a stage 1, and the others find it in the cache."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from colaflex.experiment.stage_cache import stage_one_path
from colaflex.runtime.lock import FileLock
from colaflex.training.hardware import Precision
from colaflex.training.watcher import Watcher

__all__ = ["ClaimRelease", "StageOneHeld", "claimed"]

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


class ClaimRelease(Watcher):
    """Ends the claim on a stage 1 when another stage begins.

    Args:
        claim: what is held until stage 1 is over.
    """

    def __init__(self, claim: ExitStack) -> None:
        self._claim = claim

    def begin(self, stage: str, done: int, total: int) -> None:
        """Let others have the stage 1 that is trained by now."""
        if stage != STAGE1:
            self._claim.close()
