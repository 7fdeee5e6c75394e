"""What a run will cost, before it is run: parameters, FLOPs, memory, time."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from colaflex.run import Experiment, RunOptions
from colaflex.run_result import parameter_counts
from colaflex.spec import Spec
from colaflex.training.memory import peak_memory_bytes
from colaflex.training.progress import SilentProgress
from colaflex.training.stage_loop import Share, StageLoop, prepared_batch
from colaflex.training.stage_plan import StagePlan

__all__ = ["estimate"]

TIMED_STEPS = 3


def estimate(spec: Spec, options: RunOptions) -> dict[str, Any]:
    """Time a few steps of every stage and extrapolate; nothing is kept.

    Returns:
        `parameters` by part, `stages` (name, steps, flops, seconds), their sums `flops` and
        `seconds` (training only, at this machine's present speed), and `memory_gib`, the peak.
    """
    with TemporaryDirectory() as folder:
        experiment = Experiment(spec, Path(folder) / "run", options, SilentProgress())
        experiment.check()
        stages = [_stage(experiment, plan) for plan in experiment.plans()]
    return {
        "parameters": parameter_counts(experiment.model),
        "stages": stages,
        "flops": sum(stage["flops"] for stage in stages),
        "seconds": sum(stage["seconds"] for stage in stages),
        "memory_gib": peak_memory_bytes() / 2**30,
    }


def _stage(experiment: Experiment, plan: StagePlan) -> dict[str, Any]:
    order, seed = experiment.order(plan), experiment.spec.seed
    batch, _, _ = prepared_batch(plan, order, seed, 0, Share())
    steps = min(TIMED_STEPS, plan.steps)
    seconds = 0.0
    plan.stage.start()
    loop = StageLoop(
        experiment.model, plan, order, seed, experiment.processes, experiment.precision
    )
    with loop:
        for step in range(steps):
            began = time.perf_counter()
            loop.step(step)
            # The first step pays for what later ones find ready.
            seconds = time.perf_counter() - began
    return {
        "name": plan.stage.name,
        "steps": plan.steps,
        "flops": plan.stage.flops(batch) * plan.steps,
        "seconds": seconds * plan.steps,
    }
