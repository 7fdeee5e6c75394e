"""Runs `colaflex run` in forked children, kills them, and reports; started as a script.

Forking spares each child the import of torch. Each run has a cache of its own, which knows the
data but no stage 1, so that kills fall into both stages and between them.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import torch

from colaflex.cli.main import main as command
from colaflex.files.writing import sha256_file

SETS = {
    "training.checkpoint_every": 2,
    "training.ema_decay": 0.9,
    "training.steps": 30,
    "evaluation.samples": 0,
    "evaluation.documents": 2,
}


class Killer:
    """Starts one kind of run again and again."""

    def __init__(self, root: Path, spec: Path, prior: str) -> None:
        self.root = root
        self.arguments = [str(spec), "--json"]
        for key, value in {**SETS, "prior": prior}.items():
            self.arguments += ["--set", f"{key}={value}"]

    def prepare(self, name: str) -> None:
        """A cache for the run of that name."""
        place = self.root / "caches" / name
        if not place.exists() and name != "warm":
            shutil.copytree(self.root / "caches/warm", place)
            shutil.rmtree(place / "stage1")

    def run(self, name: str) -> int:
        """The command, in this process."""
        os.environ["COLAFLEX_CACHE"] = str(self.root / "caches" / name)
        begun = ["--resume"] if (self.root / name / "run.json").exists() else []
        return command(["run", *self.arguments, *begun, "--out", str(self.root / name)])

    def start(self, name: str) -> int:
        """The command, in a child."""
        self.prepare(name)
        child = os.fork()
        if child == 0:
            code = 70
            try:
                log = os.open(self.root / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
                os.dup2(log, 1)
                os.dup2(log, 2)
                code = self.run(name)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(code)
        return child

    def log(self, name: str) -> str:
        """What its runs have said."""
        return (self.root / f"{name}.log").read_text()


def wait(child: int, seconds: float) -> int | None:
    """The child's exit code, or None when the time is up."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    return None


def training_time(killer: Killer, name: str) -> float:
    """Seconds from the start of a run to the end of its training."""
    began = time.monotonic()
    child = killer.start(name)
    last = f"prior-{len(steps_of(killer.root / 'warm')):08d}"
    while not list((killer.root / name / "checkpoints").glob(last)):
        time.sleep(0.001)
        assert time.monotonic() < began + 200, killer.log(name)
    lasted = time.monotonic() - began
    assert wait(child, 200) == 0, killer.log(name)
    return lasted


def steps_of(folder: Path) -> range:
    """The steps of the prior's stage."""
    stages = json.loads((folder / "result.json").read_text())["training"]["stages"]
    return range(next(stage["steps"] for stage in stages if stage["name"] == "prior"))


def run_with_kills(
    killer: Killer, name: str, draw: random.Random, longest: float, most: int
) -> int:
    kills = 0
    while True:
        child = killer.start(name)
        code = wait(child, draw.uniform(0, longest) if kills < most else 200)
        if code == 0:
            return kills
        assert code is None, f"the run failed by itself with {code}: {killer.log(name)}"
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        kills += 1


def interrupt(killer: Killer, name: str, stage: str) -> int:
    """Start a run, send SIGINT once a stage has written its first figures, and wait."""
    child = killer.start(name)
    metrics = killer.root / name / "metrics.jsonl"
    deadline = time.monotonic() + 200
    while not metrics.exists() or f'"stage": "{stage}"' not in metrics.read_text():
        time.sleep(0.001)
        assert time.monotonic() < deadline, killer.log(name)
    os.kill(child, signal.SIGINT)
    code = wait(child, 200)
    assert "interrupted" in killer.log(name), killer.log(name)
    return code if code is not None else -1


def final_state(folder: Path) -> dict[str, Any]:
    """Weights, records and result, but for times."""
    checkpoints = {p.name: p for p in (folder / "checkpoints").iterdir()}
    newest = max(name for name in checkpoints if name.startswith("prior-"))
    timed = ("seconds", "tokens_per_second")
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    result = json.loads((folder / "result.json").read_text())
    for stage in result["training"]["stages"]:
        del stage["seconds"]
    return {
        # Which one is second depends on where a run was asked to stop.
        "checkpoints": (len(checkpoints), newest),
        "weights": sha256_file(checkpoints[newest] / "model.safetensors"),
        "records": [{k: v for k, v in record.items() if k not in timed} for record in records],
        "stages": result["training"]["stages"],
        "metrics": {k: v for k, v in result["metrics"].items() if not k.startswith("speed.")},
        "files": sorted(path.name for path in folder.iterdir()),
    }


def differences(folder: Path, whole: dict[str, Any]) -> list[str]:
    """What ended otherwise than in the run that nobody killed."""
    here = final_state(folder)
    return [
        f"run {folder.name}: {part} {here[part]!r:.500}, expected {whole[part]!r:.500}"
        for part in whole
        if here[part] != whole[part]
    ]


def main(root: Path, spec: Path, prior: str, wanted: int) -> None:
    torch.set_num_threads(1)
    killer = Killer(root, spec, prior)
    sys.stdout, kept = sys.stderr, sys.stdout
    assert killer.run("warm") == 0  # what is imported at first use is not imported by each child
    sys.stdout = kept
    longest = 1.1 * training_time(killer, "whole")
    whole = final_state(root / "whole")
    draw, kills, runs = random.Random(prior), 0, 0
    differing: list[str] = []
    while kills < wanted:
        runs += 1
        kills += run_with_kills(killer, str(runs), draw, longest, wanted - kills)
        differing += differences(root / str(runs), whole)
    codes = [interrupt(killer, "stopped", stage) for stage in ("representation", "prior")]
    assert wait(killer.start("stopped"), 200) == 0, killer.log("stopped")
    differing += differences(root / "stopped", whole)
    report = {
        "kills": kills,
        "runs": runs + 1,
        "differing": differing,
        "interrupted": codes,
        "longest": longest,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
