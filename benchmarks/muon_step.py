"""A step of a spec's last stage with Muon against one with AdamW: python benchmarks/muon_step.py.

Each in a process with all that the processor can do, and in one that is held to AVX2, as processors
without bf16 products are. The two optimizers take their steps in turn, so that drift hits both.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import torch
from timing import medians_in_turn

from colaflex.experiment.prepared import prepare
from colaflex.experiment.run_options import RunOptions
from colaflex.spec import Spec
from colaflex.training.memory import limit_kernel_cache
from colaflex.training.stage_loop import StageLoop

AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
OPTIMIZERS = ("muon", "adamw")


def steps_of(spec: Spec, folder: Path, precision: str, stack: ExitStack) -> Callable[[], None]:
    """One step after the other of the last stage; stage 1 is not trained, which costs the same."""
    prepared = prepare(spec, folder, RunOptions(precision=precision))
    plan = prepared.plans()[-1]
    plan = replace(plan, steps=max(plan.steps, 10**6))
    loop = StageLoop(
        prepared.model,
        plan,
        prepared.order(plan),
        spec.seed,
        prepared.processes,
        prepared.precision,
    )
    stack.enter_context(loop)
    numbers = count()
    return lambda: loop.step(next(numbers))


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Seconds of a step with each optimizer, in this process."""
    limit_kernel_cache()
    torch.set_num_threads(given.threads)
    spec = Spec.load(given.spec, given.sets)
    stage = "prior" if spec.baseline is None else "baseline"
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        works = [
            steps_of(
                spec.override({f"training.stages.{stage}.optimizer": name}),
                folder,
                given.precision,
                stack,
            )
            for name in OPTIMIZERS
        ]
        seconds = medians_in_turn(works, given.repeats)
    return {
        "capability": torch.backends.cpu.get_cpu_capability(),
        **dict(zip(OPTIMIZERS, seconds, strict=True)),
        "muon_over_adamw": seconds[0] / seconds[1],
    }


def main() -> None:
    """Measure and print; with --out, also write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", default="specs/quickstart.yaml")
    parser.add_argument("--set", dest="sets", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--here", action="store_true", help="only in this process, as JSON")
    given = parser.parse_args()
    if given.here:
        print(json.dumps(measure(given)))
        return
    result = {}
    for name, environment in {"all": {}, "avx2": AVX2}.items():
        command = [sys.executable, __file__, *sys.argv[1:], "--here"]
        done = subprocess.run(
            command, env={**os.environ, **environment}, stdout=subprocess.PIPE, check=True
        )
        result[name] = json.loads(done.stdout)
        for key, value in result[name].items():
            print(f"{name:5} {key:16} {value if isinstance(value, str) else f'{value:.4g}'}")
    result["muon_avx2_over_all"] = result["avx2"]["muon"] / result["all"]["muon"]
    print(f"a step with Muon, AVX2 over all: {result['muon_avx2_over_all']:.2f}")
    if given.out is not None:
        given.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
