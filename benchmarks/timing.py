"""How the benchmarks time: medians, and the machine's own GEMM peak in the same run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

__all__ = ["gemm_peak", "median_seconds"]


def median_seconds(work: Callable[[], object], repeats: int, warm_up: int = 2) -> float:
    """Median seconds of `repeats` calls, after some that are not counted."""
    for _ in range(warm_up):
        work()
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


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
