"""Trains in forked children, kills them at random moments, and reports; started as a script.

Forking spares each child the import of torch.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from tiny_model import TinyModel, final_state, records, train, with_settings

SETTINGS = with_settings(steps=12, accumulate=2, ema_decay=0.9)


def start(folder: Path) -> int:
    child = os.fork()
    if child == 0:
        train(folder, SETTINGS, TinyModel(dropout=0.1), resume=True, checkpoint_every=2)
        os._exit(0)
    return child


def wait(child: int, seconds: float) -> int | None:
    """The child's exit code, or None when the time is up."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    return None


def run_with_kills(folder: Path, draw: random.Random, longest: float, most: int) -> int:
    kills = 0
    while True:
        child = start(folder)
        code = wait(child, draw.uniform(0, longest) if kills < most else 60)
        if code == 0:
            return kills
        assert code is None, f"the run failed by itself with {code}"
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        kills += 1


def main(folder: Path, wanted: int) -> None:
    torch.set_num_threads(1)
    train(folder / "first")  # what torch imports at first use is not imported again by each child
    began = time.monotonic()
    assert wait(start(folder / "whole"), 60) == 0
    lasted = time.monotonic() - began
    draw, kills, runs, same = random.Random(0), 0, 0, 0
    while kills < wanted:
        runs += 1
        kills += run_with_kills(folder / str(runs), draw, lasted, wanted - kills)
        same += final_state(folder / str(runs)) == final_state(folder / "whole") and records(
            folder / str(runs)
        ) == records(folder / "whole")
    print(json.dumps({"kills": kills, "runs": runs, "same": same, "lasted": lasted}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
