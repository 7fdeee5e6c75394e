"""Several workers on this machine, each a process that works at the whole study."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence

from colaflex.errors import RunFailure
from colaflex.runtime import terminal

__all__ = ["STORAGE", "Workers"]

POLL = 0.1
RESTARTS = 5
"""Workers that were ended by a signal and are started again, at most."""
STOPPED = 130
STORAGE = "COLAFLEX_STUDY_STORAGE"
"""Variable that tells a worker its storage."""


class Workers:
    """Starts workers, starts again those that were killed, and waits for all.

    Args:
        arguments: of `python -m colaflex.studies.work.worker_process`.
        count: how many.
        storage: its URL; it may hold a password, which everybody could read among arguments.
    """

    def __init__(self, arguments: Sequence[str], count: int, storage: str) -> None:
        self.arguments, self.count, self.storage = list(arguments), count, storage
        self._restarts = 0
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def run(self) -> int:
        """Work to the end; returns the exit code.

        Raises:
            RunFailure: workers are killed again and again.
        """
        for index in range(1, self.count + 1):
            self._start(index)
        try:
            return self._wait()
        except KeyboardInterrupt:
            _say("interrupted: stopping at the next checkpoints; once more ends at once")
            self._stop()
            return STOPPED
        finally:
            self._kill()

    def _start(self, index: int) -> None:
        command = [sys.executable, "-m", "colaflex.studies.work.worker_process", *self.arguments]
        threads = str(max(1, len(os.sched_getaffinity(0)) // self.count))
        self._running[index] = subprocess.Popen(  # noqa: S603
            [*command, "--label", f"worker {index}: "],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env={"OMP_NUM_THREADS": threads, **os.environ, STORAGE: self.storage},
            start_new_session=True,  # a Ctrl-C is ours to pass on
        )

    def _wait(self) -> int:
        codes: list[int] = []
        while self._running:
            for index, process in list(self._running.items()):
                code = process.poll()
                if code is None:
                    continue
                del self._running[index]
                if code < 0:
                    self._again(index, -code)
                else:
                    codes.append(code)
            time.sleep(POLL)
        return max(codes, default=0)

    def _again(self, index: int, signal: int) -> None:
        """Start a worker again whom a signal has ended: its trial goes on."""
        self._restarts += 1
        if self._restarts > RESTARTS:
            raise RunFailure(
                f"workers were killed {self._restarts} times, the last by signal {signal}; perhaps "
                "memory is short: use fewer --workers. Nothing is lost: the same command goes on"
            )
        _say(f"worker {index}: ended by signal {signal}; it is started again")
        self._start(index)

    def _stop(self) -> None:
        for process in self._running.values():
            if process.stdin is not None:
                process.stdin.close()
        for process in self._running.values():
            process.wait()
        self._running.clear()

    def _kill(self) -> None:
        for process in self._running.values():
            process.kill()
            process.wait()


def _say(text: str) -> None:
    terminal.say(text)
