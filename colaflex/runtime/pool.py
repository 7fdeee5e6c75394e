"""Processes side by side on this machine, each at a job of its own: started, looked at, stopped.

A process learns by the end of its standard input that it is to stop: also when whoever started it
was killed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Generic, TypeVar

__all__ = ["Pool", "ProcessEnd", "when_to_stop"]

Job = TypeVar("Job", bound=Hashable)


@dataclass(frozen=True, slots=True)
class ProcessEnd(Generic[Job]):
    """A process that has ended.

    Attributes:
        job: that it had.
        code: exit code, negative where a signal ended it.
        seconds: since it began.
    """

    job: Job
    code: int
    seconds: float


@dataclass(frozen=True, slots=True)
class _Running:
    process: subprocess.Popen[bytes]
    began: float

    def ask_to_stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()


class Pool(Generic[Job]):
    """Processes of one module; the cores are shared out evenly among them.

    Args:
        module: what they run, as `python -m` does.
        size: how many at once.
    """

    def __init__(self, module: str, size: int) -> None:
        self.module, self.size = module, size
        self._running: dict[Job, _Running] = {}

    def __len__(self) -> int:
        return len(self._running)

    def __contains__(self, job: object) -> bool:
        return job in self._running

    def __iter__(self) -> Iterator[Job]:
        return iter(tuple(self._running))

    @property
    def free(self) -> bool:
        """Whether another process can start."""
        return len(self) < self.size

    def start(
        self,
        job: Job,
        arguments: Sequence[str],
        *,
        stdout: IO[bytes] | int = subprocess.DEVNULL,
        stderr: IO[bytes] | None = None,
        variables: Mapping[str, str] | None = None,
        module: str | None = None,
    ) -> None:
        """Start a process.

        Args:
            job: its name among those that run.
            arguments: of the module.
            stdout: where its output goes.
            stderr: where its messages go; None: where ours do.
            variables: of its environment, beside ours.
            module: that it runs, if not that of the others.
        """
        threads = str(max(1, len(os.sched_getaffinity(0)) // self.size))
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", module or self.module, *arguments],
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=stderr,
            env={"OMP_NUM_THREADS": threads, **os.environ, **(variables or {})},
            start_new_session=True,  # a Ctrl-C is ours to pass on
        )
        self._running[job] = _Running(process, time.monotonic())

    def ended(self) -> Iterator[ProcessEnd[Job]]:
        """The processes that have ended since the last call."""
        for job, running in list(self._running.items()):
            code = running.process.poll()
            if code is not None:
                running.ask_to_stop()
                del self._running[job]
                yield ProcessEnd(job, code, time.monotonic() - running.began)

    def stop(self) -> None:
        """Ask all to stop; they are still to be waited for."""
        for running in self._running.values():
            running.ask_to_stop()

    def kill(self) -> None:
        """End all at once."""
        for running in self._running.values():
            running.process.kill()
            running.process.wait()


def when_to_stop(stop: Callable[[], None]) -> None:
    """In a process of a pool: call back, in a thread, when it is asked to stop."""

    def wait() -> None:
        while os.read(0, 1):
            pass
        stop()

    threading.Thread(target=wait, daemon=True).start()
