"""From the result of a run to that of a trial, over one seed or several."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from colaflex.studies.objective import TrialResult

__all__ = ["COSTS", "over_seeds", "result_of_run", "values_of"]

COSTS = ("cost.flops", "cost.seconds", "cost.parameters")
"""Metrics of what a trial costs: of training, stage 1 included whoever trained it."""
STAGE1 = "representation"
Metrics = Mapping[str, Mapping[str, Any]]


def result_of_run(result: Mapping[str, Any]) -> TrialResult:
    """What `result.json` says, with `cost.*` among the metrics."""
    stages = result["training"]["stages"]
    first = [stage for stage in stages if stage["name"] == STAGE1]
    sums = {
        "cost.flops": float(result["training"]["flops"]),
        "cost.seconds": float(result["training"]["seconds"]),
        "cost.parameters": float(result["parameters"]["total"]),
    }
    costs = {name: {"value": v, "low": None, "high": None, "n": 1} for name, v in sums.items()}
    return TrialResult(
        metrics={**result["metrics"], **costs},
        flops=sums["cost.flops"] - _flops(first),
        seconds=float(result["job_seconds"]),
        stage1=dict.fromkeys([result["stage1_digest"]] if first else [], _flops(first)),
        reused=sum(bool(stage["reused"]) for stage in first),
        left_out=result.get("left_out", {}),
    )


def _flops(stages: Sequence[Mapping[str, Any]]) -> float:
    return float(sum(stage["flops"] for stage in stages))


def values_of(metrics: Metrics) -> dict[str, float]:
    """The values without their intervals."""
    return {name: float(row["value"]) for name, row in metrics.items()}


def over_seeds(rows: Sequence[TrialResult]) -> TrialResult:
    """The mean over seeds of every metric that all have, with its t interval over seeds."""
    if len(rows) == 1:
        return rows[0]
    shared = set.intersection(*(set(row.metrics) for row in rows))
    return TrialResult(
        metrics={
            name: _mean([float(row.metrics[name]["value"]) for row in rows])
            for name in rows[0].metrics
            if name in shared
        },
        flops=sum(row.flops for row in rows),
        seconds=sum(row.seconds for row in rows),
        stage1={digest: flops for row in rows for digest, flops in row.stage1.items()},
        reused=sum(row.reused for row in rows),
        left_out={name: why for row in rows for name, why in row.left_out.items()},
    )


def _mean(values: Sequence[float]) -> dict[str, Any]:
    mean, n = float(np.mean(values)), len(values)
    half = float(stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / math.sqrt(n))
    return {"value": mean, "low": mean - half, "high": mean + half, "n": n}
