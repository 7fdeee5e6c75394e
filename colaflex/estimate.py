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

TIMED_STEPS = 4
SAMPLED_STEPS = 32


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
    sampled = range(min(SAMPLED_STEPS, plan.steps))
    batches = (prepared_batch(plan, order, seed, step, Share())[0] for step in sampled)
    costs = [plan.stage.flops(batch) for batch in batches]
    flops = round(sum(costs) / max(1, len(costs)) * plan.steps)
    plan.stage.start()
    loop = StageLoop(
        experiment.model, plan, order, seed, experiment.processes, experiment.precision
    )
    times = []
    with loop:
        for step in range(min(TIMED_STEPS, plan.steps)):
            began = time.perf_counter()
            loop.step(step)
            times.append(time.perf_counter() - began)
    # The first step pays for what later ones find ready; batches differ in width.
    seconds = sum(times[1:]) / max(1, sum(costs[1 : len(times)])) * flops
    return {
        "name": plan.stage.name,
        "steps": plan.steps,
        "flops": flops,
        "seconds": seconds,
    }
