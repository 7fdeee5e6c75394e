"""How the benchmarks time: medians, and the machine's own GEMM peak in the same run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import torch

__all__ = ["gemm_peak", "median_seconds", "medians_in_turn"]


def median_seconds(work: Callable[[], object], repeats: int, warm_up: int = 2) -> float:
    """Median seconds of `repeats` calls, after some that are not counted."""
    return medians_in_turn([work], repeats, warm_up)[0]


def medians_in_turn(
    works: Sequence[Callable[[], object]], repeats: int, warm_up: int = 2
) -> list[float]:
    """Median seconds of several pieces of work, done in turn so that drift hits all."""
    taken: list[list[float]] = [[] for _ in works]
    for index in range(warm_up + repeats):
        for work, seconds in zip(works, taken, strict=True):
            began = time.perf_counter()
            work()
            if index >= warm_up:
                seconds.append(time.perf_counter() - began)
    return [statistics.median(seconds) for seconds in taken]


def gemm_peak(dtype: torch.dtype, repeats: int = 30) -> float:
    """FLOP/s of the fastest of some matrix products, with the threads that are set."""
    best = 0.0
    for rows, inner, columns in ((4096, 256, 1024), (2048, 1024, 1024), (2048, 2048, 2048)):
        a, b = torch.randn(rows, inner, dtype=dtype), torch.randn(columns, inner, dtype=dtype)

        def product(a: torch.Tensor = a, b: torch.Tensor = b) -> torch.Tensor:
            return torch.nn.functional.linear(a, b)

        seconds = median_seconds(product, repeats)
        best = max(best, 2 * rows * inner * columns / seconds)
    return best
