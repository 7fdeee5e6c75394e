"""Which process this is, and whether another one still lives; Optuna knows heartbeats only."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

__all__ = ["ProcessIdentity", "booted_at"]

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process among all that ever ran on all hosts.

    Attributes:
        host: name of the machine and its id.
        boot: differs after a restart of the machine; "" where that is not known.
        space: within which process ids mean the same: containers have their own.
        pid: process id.
        started: when, in units of the system; "" where that is not known.
    """

    host: str
    boot: str
    space: str
    pid: int
    started: str

    @classmethod
    def own(cls) -> Self:
        """That of this process."""
        pid = os.getpid()
        return cls(*_place(), pid, _started(pid) or "")

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """From what `asdict` made of one."""
        text = {name: str(values.get(name, "")) for name in ("host", "boot", "space", "started")}
        pid = values.get("pid")
        return cls(pid=pid if isinstance(pid, int) else -1, **text)

    def alive(self) -> bool | None:
        """Whether it lives; None where this process can't know."""
        if self.place != _place() or not self.started:
            return None
        return _started(self.pid) == self.started

    @property
    def place(self) -> tuple[str, str, str]:
        """Where process ids mean the same."""
        return self.host, self.boot, self.space

    @property
    def before_boot(self) -> bool:
        """Whether it ran on this machine before it was last started, as far as names tell."""
        host, boot, _ = _place()
        return self.host == host and bool(boot) and bool(self.boot) and self.boot != boot


def booted_at() -> float:
    """When this machine was started, in seconds since 1970; infinity where that is not known."""
    for line in _read(PROC / "stat").splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    return float("inf")


@cache
def _place() -> tuple[str, str, str]:
    machine = _read(Path("/etc/machine-id"))[:12]
    space = ""
    with suppress(OSError):
        space = str((PROC / "self" / "ns" / "pid").readlink())
    return f"{socket.gethostname()}/{machine}", _read(PROC / "sys/kernel/random/boot_id"), space


def _started(pid: int) -> str | None:
    """When a process started; None if it is gone, or ended and not yet waited for."""
    if (PROC / "self" / "stat").exists():
        # The name of the program, in parentheses, may hold anything.
        fields = _read(PROC / str(pid) / "stat").rpartition(")")[2].split()
        return fields[19] if fields and fields[0] not in "ZX" else None
    if sys.platform == "win32":
        return None
    command = ["ps", "-o", "lstart=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip() or None  # noqa: S603


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
