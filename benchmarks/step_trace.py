"""The files that one training step runs through: python benchmarks/step_trace.py [SPEC] [STAGE].

By default a step of the prior of `flow_matching` with its own linear readout, on `text_vae`. A file
counts, with all its lines, when code of it runs between the batch and the updated weights.
With --write, docs/architecture.md shows what is found.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from pathlib import Path
from types import FrameType

import colaflex
from colaflex.experiment.prepared import prepare
from colaflex.experiment.run_options import RunOptions
from colaflex.spec import Spec
from colaflex.training.stage_loop import StageLoop

ROOT = Path(colaflex.__file__).parent
PAGE = Path(__file__).parent.parent / "docs" / "architecture.md"
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
training: {steps: 10, batch_size: 4, max_tokens: 64}
"""


def files_of_a_step(spec: Spec, stage: str) -> list[tuple[str, int]]:
    """(path, lines) of every file of the package of which the stage's second step runs code."""
    called: set[str] = set()

    def note(frame: FrameType, event: str, argument: object) -> None:
        del event, argument
        called.add(frame.f_code.co_filename)

    with tempfile.TemporaryDirectory() as folder:
        options = RunOptions(device="cpu", precision="fp32")
        prepared = prepare(spec, Path(folder) / "run", options)
        plan = next(plan for plan in prepared.plans() if plan.stage.name == stage)
        plan.stage.start()
        order, world = prepared.order(plan), prepared.processes
        with StageLoop(prepared.model, plan, order, spec.seed, world) as loop:
            loop.step(0)
            sys.settrace(note)
            try:
                loop.step(1)
            finally:
                sys.settrace(None)
    paths = sorted(Path(name) for name in called if Path(name).is_relative_to(ROOT))
    return [
        (str(path.relative_to(ROOT.parent)), len(path.read_text().splitlines())) for path in paths
    ]


def main() -> None:
    """Print the files and their sum."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("spec", nargs="?", type=Path)
    parser.add_argument("stage", nargs="?", default="prior")
    parser.add_argument("--write", action="store_true", help="into docs/architecture.md")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = given.spec or Path(folder) / "step.yaml"
        if given.spec is None:
            path.write_text(SPEC)
        files = files_of_a_step(Spec.load(path), given.stage)
    lines = [f"{count:6,}  {name}" for name, count in files]
    lines.append(f"{sum(count for _, count in files):6,}  lines of {len(files)} files")
    print("\n".join(lines))
    if given.write:
        page = PAGE.read_text(encoding="utf-8")
        shown = re.compile(r"(?<=```\n) +\d+  colaflex/.*?(?=```)", re.DOTALL)
        PAGE.write_text(shown.sub("\n".join(lines) + "\n", page, count=1), encoding="utf-8")


if __name__ == "__main__":
    main()
