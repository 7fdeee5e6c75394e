"""Speed and memory of a training step of a flow prior: python benchmarks/train_step.py.

Reports positions and tokens per second, model FLOP/s as a fraction of the GEMM peak measured in the
same run with the same threads, peak memory, and what the training loop adds to the bare step.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from timing import gemm_peak, median_seconds

from colaflex.host.registry import registry
from colaflex.interfaces.losses import Counts, Losses
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.stage import ParameterGroup, Stage, StageStep
from colaflex.interfaces.values import LatentBatch, TokenBatch
from colaflex.spec.training import Training
from colaflex.training.distributed import Processes
from colaflex.training.memory import limit_kernel_cache, peak_memory_bytes
from colaflex.training.stage_loop import StageLoop
from colaflex.training.stage_plan import StagePlan


class FixedRows:
    """An order that gives the same rows at every step: the loop is timed, not the data."""

    def __init__(self, rows: int, length: int) -> None:
        lengths = torch.full((rows,), length)
        tokens = torch.zeros(rows, length, dtype=torch.int64)
        self.rows = TokenBatch(tokens, lengths, torch.ones(rows, dtype=torch.bool))

    def batch(self, step: int) -> TokenBatch:
        """The rows."""
        del step
        return self.rows


class FixedLatents(Stage):
    """A stage that trains the prior on fixed latents."""

    name = settings = "prior"

    def __init__(self, prior: Any, latents: LatentBatch) -> None:
        self.prior, self.latents = prior, latents
        self.groups = [ParameterGroup("prior", list(prior.parameters()))]

    def counts(self, batch: TokenBatch) -> Counts:
        """Every latent is learned."""
        rows, length = self.latents.mask.shape
        return {"tokens": rows * length, "latents": rows * length, "rows": rows}

    def flops(self, batch: TokenBatch) -> int:
        """The prior's."""
        return int(self.prior.training_flops(*self.latents.mask.shape))

    def losses(self, batch: TokenBatch, step: StageStep) -> Losses:
        """The prior's."""
        losses: Losses = self.prior.losses(self.latents, step.noise)
        return losses


class Bare:
    """The least that a training step needs, in a plain loop."""

    def __init__(self, prior: Any, latents: LatentBatch, precision: str) -> None:
        self.prior, self.latents, self.precision = prior, latents, precision
        self.parameters = list(prior.parameters())
        self.optimizer = torch.optim.AdamW(self.parameters, lr=1e-4, fused=True)
        self.steps = 0

    def step(self) -> None:
        """Forward, backward, clip, update."""
        self.steps += 1
        with torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bf16"):
            term = self.prior.losses(self.latents, Noise(0, self.steps))["flow"]
        (term.total / self.latents.mask.sum()).backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()


def interleaved(one: Callable[[], object], other: Callable[[], object], rounds: int) -> list[float]:
    """Ratios of the seconds of two pieces of work done in turn, so that drift hits both."""
    ratios = []
    for index in range(rounds):
        seconds = []
        for work in (one, other) if index % 2 else (other, one):
            began = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - began)
        ratios.append(seconds[0] / seconds[1] if index % 2 else seconds[1] / seconds[0])
    return ratios


def measure(given: argparse.Namespace, precision: str) -> dict[str, float]:
    """Everything about one precision, in a process of its own."""
    limit_kernel_cache()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    prior = registry().build(
        registry().config(
            "prior",
            {
                "type": "flow_matching",
                "block_size": given.block,
                "noisings": given.noisings,
                "history_dropout": 0.0,
                "pinned_blocks": 0.0,
                "network": {
                    "type": "block_causal",
                    "width": given.width,
                    "layers": given.layers,
                    "heads": given.width // 64,
                },
            },
        ),
        latent_dim=given.dim,
    )
    values = torch.randn(given.batch, given.length, given.dim)
    latents = LatentBatch(values, torch.ones(given.batch, given.length, dtype=torch.bool))
    bare = Bare(prior, latents, precision)
    seconds = median_seconds(bare.step, given.repeats)
    memory = peak_memory_bytes() / 2**30  # before the loop below brings another optimizer state
    flops = prior.training_flops(given.batch, given.length)
    settings = Training(steps=10**6, batch_size=given.batch, warmup_steps=0).for_stage("prior")
    plan = StagePlan(FixedLatents(prior, latents), settings, 10**6)
    order = FixedRows(given.batch, given.length)
    holder: Any = torch.nn.ModuleDict({"prior": prior})
    holder.hidden = None
    loop = StageLoop(holder, plan, order, 0, Processes(), "bf16" if precision == "bf16" else "fp32")
    done = iter(range(10**6))
    with loop:
        for _ in range(3):
            loop.step(next(done))
        ratios = interleaved(lambda: loop.step(next(done)), bare.step, given.repeats)
    peak = gemm_peak(torch.float32)
    return {
        "seconds": seconds,
        "tokens_per_second": given.batch * given.length / seconds,
        "model_tflops": flops / seconds / 1e12,
        "fp32_gemm_peak_tflops": peak / 1e12,
        "fraction_of_fp32_peak": flops / seconds / peak,
        "loop_over_bare": statistics.median(ratios),
        "peak_memory_gib": memory,
    }


def main() -> None:
    """Measure and print; with --out, also write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in (
        ("width", 256), ("layers", 6), ("length", 256), ("block", 16), ("batch", 8), ("dim", 16),
        ("noisings", 1), ("repeats", 15), ("threads", 2),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    result: dict[str, Any] = {"settings": {k: v for k, v in vars(given).items() if k != "out"}}
    for precision in ("fp32", "bf16"):
        with ProcessPoolExecutor(1, get_context("spawn")) as alone:
            result[precision] = alone.submit(measure, given, precision).result()
        for name, value in result[precision].items():
            print(f"{precision}  {name:24} {value:.4g}")
    speedup = result["bf16"]["tokens_per_second"] / result["fp32"]["tokens_per_second"]
    result["bf16_over_fp32"] = speedup
    print(f"bf16 over fp32 {speedup:.2f}")
    assert math.isfinite(speedup)
    if given.out is not None:
        given.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
