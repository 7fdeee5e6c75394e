"""A commit against the working tree: python benchmarks/before_after.py COMMIT.

Seconds of a training step of each stage, of loading a run of COMMIT's and of generating with it, of
the quickstart as it was at COMMIT, in fp32, and of commands. The commit is checked out beside;
processes of the two take turns, so that drift hits both.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any

from beside import ROOT, checked_out, installed
from timing import median_seconds

HERE = Path(__file__).resolve()
PROMPTS = ["In the beginning", "And the king said", "He went to the town", "They were"] * 2
SIZE: dict[str, Any] = {
    "training.log_every": 1,
    "training.stages.representation.steps": 25,
    "training.stages.prior.steps": 25,
    "evaluation.samples": 0,
    "evaluation.documents": 4,
    "evaluation.sweep_steps": [],
    "evaluation.sweep_guidance": [],
    "evaluation.judge.enabled": False,
}
COMMANDS = ("--help", "plugins list", "spec validate SPEC")
STARTS = 5
"""Times that a round starts each command."""


class Side:
    """One of the two versions, installed in a folder of its own."""

    def __init__(self, source: Path, folder: Path, spec: Path) -> None:
        folder.mkdir()
        self.folder, self.spec, self._environment = folder, spec, installed(source, folder)

    def measure(self, number: int, ready: Path) -> dict[str, float]:
        """Median seconds of each part in a round.

        Args:
            number: of the round.
            ready: a run that is loaded and generates.
        """
        run = self.folder / f"run-{number}"
        self.train(run)
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        parts = {}
        for stage in ("representation", "prior"):
            times = [row["seconds"] for row in rows if row.get("stage") == stage]
            parts[f"step, {stage}"] = statistics.median(b - a for a, b in pairwise(times[5:]))
        parts |= json.loads(self._python(str(HERE), "--load", str(ready)).splitlines()[-1])
        for command in COMMANDS:
            words = command.replace("SPEC", str(self.spec)).split()
            parts[f"colaflex {command}"] = statistics.median(
                self._seconds(*words) for _ in range(STARTS)
            )
        return parts

    def train(self, run: Path) -> None:
        """A short run of the spec, with an empty cache: its stage 1 is trained too."""
        self._environment["COLAFLEX_CACHE"] = f"{run}-cache"
        sets = [
            part for key, value in SIZE.items() for part in ("--set", f"{key}={json.dumps(value)}")
        ]
        self._python(
            *("-m", "colaflex", "run", str(self.spec), "--out", str(run)),
            *("--precision", "fp32", *sets),
        )

    def _seconds(self, *words: str) -> float:
        began = perf_counter()
        self._python("-m", "colaflex", *words)
        return perf_counter() - began

    def _python(self, *arguments: str) -> str:
        command = [sys.executable, *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=self._environment, capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(done.stderr)
        return done.stdout


def used(run: Path) -> dict[str, float]:
    """Median seconds of loading a run and of generating with it, by the package of this process."""
    import colaflex

    load = median_seconds(lambda: colaflex.load(run), 5)
    model = colaflex.load(run)
    generate = median_seconds(
        lambda: model.generate(PROMPTS, seed=0, max_new_tokens=24, guidance=2.0), 3, 1
    )
    return {"load": load, "generate": generate}


def main() -> None:
    """Measure and print; with --out, also write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commit", nargs="?", default="HEAD")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--load", type=Path, metavar="RUN", help="in this process, as JSON")
    given = parser.parse_args()
    if given.load:
        print(json.dumps(used(given.load)))
        return
    with checked_out(given.commit) as tree, tempfile.TemporaryDirectory() as folder:
        spec, ready = tree / "specs" / "quickstart.yaml", Path(folder) / "run"
        sides = [
            Side(each, Path(folder) / name, spec)
            for name, each in (("before", tree), ("after", ROOT))
        ]
        sides[0].train(ready)
        rounds = [[side.measure(i, ready) for side in sides] for i in range(given.rounds)]
    table = {
        part: [statistics.median(pair[side][part] for pair in rounds) for side in (0, 1)]
        for part in rounds[0][0]
    }
    for part, (before, after) in table.items():
        print(f"{part:28} {before:8.4f} s  {after:8.4f} s  {after / before:5.2f}")
    if given.out is not None:
        result = {"commit": given.commit, "rounds": given.rounds, "seconds": table}
        given.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
