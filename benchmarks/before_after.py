"""A commit against the working tree: python benchmarks/before_after.py COMMIT.

Seconds of a training step of each stage, of loading a run of COMMIT's and of generating
with it, of the quickstart as it was at COMMIT, in fp32. The commit is checked out beside;
processes of the two take turns, so that drift hits both.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

from beside import ROOT, checked_out
from timing import median_seconds

import colaflex
from colaflex.experiment.experiment import RunOptions
from colaflex.spec import Spec

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


def measure(spec: Path, folder: Path, made: Path) -> dict[str, float]:
    """Median seconds of each part, with the package that this process imports.

    Args:
        spec: what is trained.
        folder: for the run.
        made: a run that is loaded and generates; by default, the one just trained.
    """
    run = folder / "run"
    colaflex.run(Spec.load(spec).override(SIZE), run, RunOptions(precision="fp32", quiet=True))
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    found = {}
    for stage in ("representation", "prior"):
        times = [row["seconds"] for row in rows if row.get("stage") == stage and "seconds" in row]
        found[f"step, {stage}"] = statistics.median(b - a for a, b in pairwise(times[5:]))
    run = made if made.exists() else run
    found["load"] = median_seconds(lambda: colaflex.load(run), 5)
    model = colaflex.load(run)
    found["generate"] = median_seconds(
        lambda: model.generate(PROMPTS, seed=0, max_new_tokens=24, guidance=2.0), 3, 1
    )
    return found


def in_turn(tree: Path, spec: Path, made: Path) -> dict[str, float]:
    """The same in a process of its own, with the package of a tree and an empty cache."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "PYTHONPATH": str(tree),
            "COLAFLEX_CACHE": str(Path(folder) / "cache"),
        }
        command = [sys.executable, str(HERE), "--here", str(spec), "--folder", folder]
        command += ["--made", str(made)]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
        if not made.exists():
            shutil.move(Path(folder) / "run", made)
        result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return result


def main() -> None:
    """Measure and print; with --out, also write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commit", nargs="?", default="HEAD")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--here", type=Path, metavar="SPEC", help="in this process, as JSON")
    parser.add_argument("--folder", type=Path, help="for what that writes")
    parser.add_argument("--made", type=Path, help="the run that it loads")
    given = parser.parse_args()
    if given.here:
        print(json.dumps(measure(given.here, given.folder, given.made)))
        return
    with checked_out(given.commit) as tree, tempfile.TemporaryDirectory() as folder:
        spec, made = tree / "specs" / "quickstart.yaml", Path(folder) / "run"
        rounds = [[in_turn(each, spec, made) for each in (tree, ROOT)] for _ in range(given.rounds)]
    table = {
        part: [statistics.median(pair[side][part] for pair in rounds) for side in (0, 1)]
        for part in rounds[0][0]
    }
    for part, (before, after) in table.items():
        print(f"{part:22} {before:8.4f} s  {after:8.4f} s  {after / before:5.2f}")
    if given.out is not None:
        result = {"commit": given.commit, "rounds": given.rounds, "seconds": table}
        given.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
