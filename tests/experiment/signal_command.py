"""Sends signals to commands in forked children, and reports how they end; started as a script.

Forking spares each child the import of torch.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from colaflex.cli.main import main as command

# Measured for far longer than it takes until the signal comes, on a busy machine as well.
SLOW = ("--set", "sampling.steps=300", "--set", "evaluation.samples=2000")


class Commands:
    """Commands in children, whose words are kept."""

    def __init__(self, root: Path) -> None:
        self.root, self.number = root, 0

    def start(self, arguments: Sequence[object], ignored: Sequence[int] = ()) -> int:
        """One more."""
        self.number += 1
        child = os.fork()
        if child == 0:
            code = 70
            try:
                for number in ignored:
                    signal.signal(number, signal.SIG_IGN)
                log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
                os.dup2(log, 1)
                os.dup2(log, 2)
                code = command([str(argument) for argument in arguments])
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(code)
        return child

    @property
    def log(self) -> Path:
        """What the last one says."""
        return self.root / f"{self.number}.log"

    def said(self) -> str:
        """What it has said so far."""
        return self.log.read_text() if self.log.exists() else ""

    def ended(self, child: int) -> int:
        """The exit code; negative where a signal killed it."""
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def stopped(
        self, arguments: Sequence[object], marker: str, number: int, ignored: Sequence[int] = ()
    ) -> dict[str, Any]:
        """Start one, send it a signal once it has said something, and how it ended."""
        child = self.start(arguments, ignored)
        deadline = time.monotonic() + 200
        while marker not in self.said():
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.005)
        os.kill(child, number)
        return {"code": self.ended(child), "said": self.said()}


def main(root: Path, spec: Path) -> None:
    torch.set_num_threads(1)
    # Ignored where the tests run in the background, or outlive their terminal.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    commands = Commands(root)
    quick = ["--set", "evaluation.samples=0", "--set", "evaluation.documents=2"]
    done = ["run", spec, "--out", root / "done", *quick]
    assert commands.ended(commands.start(done)) == 0, commands.said()
    found: dict[str, Any] = {}
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        run = ["run", spec, "--out", root / name, *SLOW]
        sent = getattr(signal, name)
        found[f"run {name}"] = commands.stopped(run, "evaluation: samples", sent)
    again = [*run, "--resume"]
    found["run again"] = commands.stopped(again, "evaluation: samples", signal.SIGTERM)
    evaluate = ["evaluate", root / "SIGTERM"]
    found["evaluate"] = commands.stopped(evaluate, "evaluation: samples", signal.SIGTERM)
    prompts = root / "prompts.txt"
    prompts.write_text("The\n" * 400)
    generate = ["generate", root / "done", "--prompts", prompts, "--steps", 500]
    child = commands.start(generate)
    time.sleep(2)
    os.kill(child, signal.SIGHUP)
    found["generate"] = {"code": commands.ended(child), "said": commands.said()}
    outlives = ["run", spec, "--out", root / "nohup", *quick]
    found["nohup"] = commands.stopped(
        outlives, "prior: step 0", signal.SIGHUP, ignored=[signal.SIGHUP]
    )
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
