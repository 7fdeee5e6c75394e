"""What a judge will cost, before it is trained."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import islice

from colaflex.evaluation.judge import (
    Documents,
    JudgeSettings,
    is_measured,
    judge_path,
    learning_rate,
    new_network,
    new_optimizers,
    require_documents,
    split_documents,
    take_step,
    training_batches,
    windows_of,
)

__all__ = ["JudgeCost", "judge_cost"]

SAMPLED_STEPS = 32
TIMED_STEPS = 4


@dataclass(frozen=True, slots=True)
class JudgeCost:
    """At most: a judge whose held-out NLL no longer falls stops early.

    Attributes:
        steps: of its training.
        flops: model FLOPs, with those of measuring its held-out NLL.
        seconds: at this machine's present speed; 0 where it is known.
        known: whether it is in the cache.
    """

    steps: int
    flops: int
    seconds: float
    known: bool


def judge_cost(
    documents: Documents, vocabulary: int, end_of_text: int, settings: JudgeSettings
) -> JudgeCost:
    """Count some steps, time a few, and extrapolate; nothing is kept.

    Raises:
        UserError: the split has too few documents.
    """
    require_documents(len(documents))
    network = new_network(vocabulary, settings)
    trained, held_out = split_documents(documents)
    some = list(
        islice(training_batches(trained, end_of_text, settings), min(SAMPLED_STEPS, settings.steps))
    )
    costs = [3 * network.flops(*inputs.shape) for inputs, _ in some]
    windows = [w for d in held_out for w, _ in windows_of(d, end_of_text, settings.max_tokens)]
    once = sum(network.flops(1, len(window) - 1) for window in windows)
    times = sum(is_measured(step, settings) for step in range(1, settings.steps + 1))
    flops = round(sum(costs) / len(costs) * settings.steps) + times * once
    if judge_path(documents, vocabulary, end_of_text, settings).exists():
        return JudgeCost(settings.steps, flops, 0.0, known=True)
    optimizers = new_optimizers(network, settings)
    seconds = []
    for batch in some[:TIMED_STEPS]:
        began = time.perf_counter()
        take_step(network, optimizers, batch, learning_rate(1, settings))
        seconds.append(time.perf_counter() - began)
    # The first step pays for what later ones find ready.
    first = int(len(seconds) > 1)
    pace = sum(seconds[first:]) / sum(costs[first : len(seconds)])
    return JudgeCost(settings.steps, flops, pace * flops, known=False)
