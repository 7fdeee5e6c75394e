"""A trial of a board in a process of its own: `python -m colaflex.leaderboard.trial_process`.

As a cell, measured on the validation split, at every setting of sampling that the trial has. Exit
codes as a cell's, and 76 where the training diverged: then the trial has failed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from colaflex.errors import Diverged
from colaflex.experiment.folder import measurements_json
from colaflex.experiment.loading import load
from colaflex.experiment.measuring import corpus_of, evaluator
from colaflex.experiment.run_options import RunOptions
from colaflex.files.reading import read_json
from colaflex.files.writing import write_atomic
from colaflex.leaderboard.cell_pool import DIVERGED
from colaflex.leaderboard.cell_process import Stop, arguments_of, ended_with, train
from colaflex.leaderboard.trial_of_run import sampling_files
from colaflex.runtime.terminal import say
from colaflex.spec import Spec

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Run or go on with a trial; returns the exit code."""
    parser = arguments_of("trial_process")
    parser.add_argument("--samplings", type=Path, required=True)
    given = parser.parse_args(arguments)
    options = RunOptions(
        resume=True,
        device=given.device,
        precision=given.precision,
        split="validation",
        report=False,
    )
    failed: list[Diverged] = []

    def run(stop: Stop) -> None:
        try:
            train(given, options, stop)
        except Diverged as failure:
            failed.append(failure)
            return
        measure_samplings(given.folder, given.samplings, given.device)

    code = ended_with(run)
    if failed:
        say(f"Error: {failed[0]}")
        return DIVERGED
    return code


def measure_samplings(folder: Path, samplings: Path, device: str) -> None:
    """Measure a finished trial at further settings of its sampling, each once.

    Args:
        folder: its run folder.
        samplings: a file with the settings of each by key path, over the spec's; beside it,
            NAME-0.json and so on take what was measured.
        device: as of `colaflex run`.
    """
    asked: list[dict[str, Any]] = read_json(samplings)
    files = sampling_files(samplings, len(asked))
    if all(file.exists() for file in files):
        return
    own = Spec.of_run(folder / "spec.yaml")
    model = load(folder, device).model
    corpus, data = corpus_of(own, folder)
    for settings, file in zip(asked, files, strict=True):
        if file.exists():
            continue
        spec = own.override({**settings, "evaluation.likelihood": False})
        evaluated = evaluator(spec, model, data, corpus, say, "validation").run()
        write_atomic(file, json.dumps(measurements_json(evaluated.metrics)) + "\n")


if __name__ == "__main__":
    sys.exit(main())
