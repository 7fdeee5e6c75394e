"""What a run will cost, before it is run: parameters, FLOPs, memory, time."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from colaflex.experiment.prepared import Prepared, prepare
from colaflex.experiment.result import parameter_counts
from colaflex.experiment.run_options import RunOptions
from colaflex.spec import Spec
from colaflex.training.memory import peak_memory_bytes
from colaflex.training.stage_loop import Share, StageLoop, prepared_batch
from colaflex.training.stage_plan import StagePlan

__all__ = ["estimate"]

TIMED_STEPS = 4
SAMPLED_STEPS = 32


def estimate(spec: Spec, options: RunOptions) -> dict[str, Any]:
    """Time a few steps of every stage and extrapolate; nothing is kept.

    Returns:
        `parameters` by part, `stages` (name, steps, flops, seconds), `judge` (steps, flops,
        seconds, known: from the cache; null where there is none), the sums `flops` and `seconds`
        of these (at this machine's present speed; of evaluation, only the judge counts), and
        `memory_gib`, the peak.
    """
    with TemporaryDirectory() as folder:
        prepared = prepare(spec, Path(folder) / "run", options)
        prepared.check()
        judge = prepared.evaluator().quality.judge_cost()
        stages = [_stage(prepared, plan) for plan in prepared.plans()]
    trained = [*stages, *([] if judge is None else [asdict(judge)])]
    return {
        "parameters": parameter_counts(prepared.model),
        "stages": stages,
        "judge": None if judge is None else asdict(judge),
        "flops": sum(cost["flops"] for cost in trained),
        "seconds": sum(cost["seconds"] for cost in trained),
        "memory_gib": peak_memory_bytes() / 2**30,
    }


def _stage(prepared: Prepared, plan: StagePlan) -> dict[str, Any]:
    order, seed = prepared.order(plan), prepared.spec.seed
    sampled = range(min(SAMPLED_STEPS, plan.steps))
    batches = (prepared_batch(plan, order, seed, step, Share())[0] for step in sampled)
    costs = [plan.stage.flops(batch) for batch in batches]
    flops = round(sum(costs) / max(1, len(costs)) * plan.steps)
    plan.stage.start()
    loop = StageLoop(prepared.model, plan, order, seed, prepared.processes, prepared.precision)
    times = []
    with loop:
        for step in range(min(TIMED_STEPS, plan.steps)):
            began = time.perf_counter()
            loop.step(step)
            times.append(time.perf_counter() - began)
    # The first step pays for what later ones find ready; batches differ in width.
    seconds = sum(times[1:]) / max(1, sum(costs[1 : len(times)])) * flops
    return {"name": plan.stage.name, "steps": plan.steps, "flops": flops, "seconds": seconds}
