"""The files that one training step runs through: python benchmarks/step_trace.py [SPEC] [STAGE].

By default a step of the prior of `flow_matching` with its own linear readout, on `text_vae`. A file
counts, with all its lines, when a function of it is called between the trainer's step and its end.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from types import FrameType

import colaflex
from colaflex.experiment.experiment import run
from colaflex.experiment.options import RunOptions
from colaflex.spec import Spec
from colaflex.training.progress import SilentProgress

ROOT = Path(colaflex.__file__).parent
SPEC = """
name: step_trace
corpus: {type: worlds, documents: 40}
tokenizer: {vocab_size: 300}
segmenter: {type: fixed_patch, size: 4}
representation: {type: text_vae, latent_dim: 8, width: 32}
prior:
  type: flow_matching
  readout: linear
  history: latents
  block_size: 2
  network: {type: block_causal, width: 32, layers: 2, heads: 2}
training: {steps: 10, batch_size: 4, max_tokens: 64, log_every: 1}
evaluation: {documents: 4, samples: 2, judge: {steps: 2, width: 8, heads: 1}}
"""


class Tracer(SilentProgress):
    """Notes the files whose functions are called in the stage's third step and what follows it."""

    def __init__(self, stage: str) -> None:
        self.stage, self.files = stage, set[str]()
        self._here = False

    def begin(self, stage: str, done: int, total: int) -> None:
        """Note which stage it is."""
        self._here = stage == self.stage

    def advance(self, done: int) -> None:
        """After the second step begin to note, after the third leave off."""
        if self._here and done in (2, 3):
            sys.settrace(self._note if done == 2 else None)

    def _note(self, frame: FrameType, event: str, argument: object) -> None:
        self.files.add(frame.f_globals.get("__file__", ""))  # of generated code as well


def files_of_a_step(spec: Spec, stage: str) -> list[tuple[str, int]]:
    """(path, lines) of every file of the package that one step of the trainer runs through."""
    tracer = Tracer(stage)
    with tempfile.TemporaryDirectory() as folder:
        options = RunOptions(device="cpu", precision="fp32", report=False)
        run(spec, Path(folder) / "run", options, tracer)
    found = sorted(Path(name) for name in tracer.files if Path(name).is_relative_to(ROOT))
    return [
        (str(path.relative_to(ROOT.parent)), len(path.read_text().splitlines())) for path in found
    ]


def main() -> None:
    """Print the files and their sum."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("spec", nargs="?", type=Path)
    parser.add_argument("stage", nargs="?", default="prior")
    given = parser.parse_args()
    if given.spec is None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "step.yaml"
            path.write_text(SPEC)
            files = files_of_a_step(Spec.load(path), given.stage)
    else:
        files = files_of_a_step(Spec.load(given.spec), given.stage)
    for name, lines in files:
        print(f"{lines:6,}  {name}")
    print(f"{sum(lines for _, lines in files):6,}  lines of {len(files)} files")


if __name__ == "__main__":
    main()
