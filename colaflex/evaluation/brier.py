"""BrierLM: a likelihood-free, strictly proper score of samples (CALM, arXiv 2510.27688).

The Brier score of a predictive distribution P at an outcome y is 2 P(y) - sum_x P(x)^2, and two
independent samples x1, x2 ~ P estimate it without bias: [x1 = y] + [x2 = y] - [x1 = x2]. Outcomes
are the n-grams that follow a prompt; BrierLM is 100 times the geometric mean over n = 1..4.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from colaflex.interfaces.metric import Measurement
from colaflex.statistics.intervals import Floats, bootstrap

__all__ = ["brier_lm", "brier_scores"]

Continuations = Sequence[Sequence[int]]
ORDERS = 4


def brier_scores(
    first: Continuations,
    second: Continuations,
    real: Continuations,
    end_of_text: int,
    offsets: int = 1,
) -> Floats:
    """(prompts, 4) estimates for n = 1..4, each in [-1, 1], averaged over offsets.

    The n-gram at offset o is the tokens o..o+n-1 behind the prompt. A continuation that ended goes
    on with end-of-text; so one that was cut instead must hold offsets + 3 tokens.
    """
    length = offsets + ORDERS - 1
    x1, x2, y = (_grid(rows, length, end_of_text) for rows in (first, second, real))
    if not len(x1) == len(x2) == len(y):
        raise ValueError(f"{len(x1)}, {len(x2)} and {len(y)} continuations of the same prompts")
    scores = np.zeros((len(y), ORDERS))
    for n in range(1, ORDERS + 1):
        for equal, sign in ((x1 == y, 1), (x2 == y, 1), (x1 == x2, -1)):
            hits = np.lib.stride_tricks.sliding_window_view(equal, n, axis=1)[:, :offsets].all(2)
            scores[:, n - 1] += sign * hits.mean(1)
    return scores


def _grid(rows: Continuations, length: int, end_of_text: int) -> NDArray[np.int64]:
    grid = np.full((len(rows), length), end_of_text, dtype=np.int64)
    for line, row in zip(grid, rows, strict=True):
        line[: len(row)] = row[:length]
    return grid


def brier_lm(
    first: Continuations,
    second: Continuations,
    real: Continuations,
    end_of_text: int,
    offsets: int = 1,
    resamples: int = 1000,
) -> dict[str, Measurement]:
    """BrierLM and the Brier score of each n, all times 100, with intervals over prompts.

    A score of at most 0 for any n (worse than a uniform guess, or too few prompts) has no geometric
    mean: BrierLM is then 0, its floor; the scores of the single n stay as they are. The floor makes
    the bootstrap distribution lumpy, so its plain percentiles bound BrierLM.

    Args:
        first: of each prompt, the tokens of one sampled continuation.
        second: of each prompt, those of another, drawn independently.
        real: of each prompt, those of the real continuation.
        end_of_text: the token that ends a document.
        offsets: at how many places from the prompt on n-grams are compared. At 1, the n-gram right
            behind the prompt; further places score the predicted marginals there, which is proper
            too but easier to win by a flat guess.
        resamples: bootstrap resamples.

    Returns:
        `brier_lm`, `brier_1` .. `brier_4`.
    """
    scores = brier_scores(first, second, real, end_of_text, offsets)

    def means(weights: Floats) -> Floats:
        return np.asarray(weights @ scores / weights.sum(1, keepdims=True))

    def geometric(weights: Floats) -> Floats:
        by_order = np.maximum(means(weights), 0.0)
        return np.asarray(100 * np.prod(by_order, axis=1) ** (1 / ORDERS))

    n = len(scores)
    result = {
        "brier_lm": bootstrap(geometric, n, "brier_lm", resamples=resamples, method="percentile")
    }
    for order in range(ORDERS):

        def single(weights: Floats, order: int = order) -> Floats:
            return 100 * means(weights)[:, order]

        result[f"brier_{order + 1}"] = bootstrap(single, n, "brier", order, resamples=resamples)
    return result
