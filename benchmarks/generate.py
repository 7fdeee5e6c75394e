"""Speed of generation with a flow prior: python benchmarks/generate.py.

Reports the time of one block behind histories of growing length, for one row and for several,
tokens per second, FLOP/s as a fraction of the GEMM peak measured in the same run, and peak memory.
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Any

import torch
from timing import gemm_peak, medians_in_turn

from colaflex.host.registry import registry
from colaflex.interfaces.noise import SampleNoise
from colaflex.interfaces.options import SamplingOptions
from colaflex.training.memory import peak_memory_bytes

CONTEXTS = (64, 256, 1024)


def block_flops(given: argparse.Namespace, rows: int, context: int) -> float:
    """Model FLOPs of sampling one block: matrix products and attention over the history."""
    hidden = round(given.width * 8 / 3 / 8) * 8
    linear = 2 * given.layers * (4 * given.width**2 + 3 * given.width * hidden)
    pairs = 4 * given.layers * given.width * (context + given.block)
    return float(rows * given.steps * given.block * (linear + pairs))


def measure(prior: Any, given: argparse.Namespace, rows: int, peak: float) -> dict[str, Any]:
    """Everything about one number of rows; the contexts in turn, so that drift hits all."""
    noise = SampleNoise(tuple(map(str, range(rows))))
    options = SamplingOptions(steps=given.steps)

    def one_block(state: Any) -> None:
        prior.commit(state, prior.sample_block(state, noise, options))

    states = {c: prior.commit(prior.begin(rows), torch.randn(rows, c, given.dim)) for c in CONTEXTS}
    seconds = medians_in_turn([partial(one_block, s) for s in states.values()], given.repeats)
    found = [
        {
            "context": context,
            "milliseconds_per_block": 1000 * taken,
            "tokens_per_second": rows * given.block * given.patch / taken,
            "fraction_of_fp32_peak": block_flops(given, rows, context) / taken / peak,
        }
        for context, taken in zip(CONTEXTS, seconds, strict=True)
    ]
    return {"rows": rows, "blocks": found, "growth": seconds[-1] / seconds[0]}


def main() -> None:
    """Measure and print; with --out, also write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in (
        ("width", 256), ("layers", 6), ("block", 16), ("dim", 16), ("steps", 16),
        ("repeats", 15), ("threads", 2), ("patch", 4),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    network = {
        "type": "block_causal",
        "width": given.width,
        "layers": given.layers,
        "heads": given.width // 64,
    }
    config = {"type": "flow_matching", "block_size": given.block, "network": network}
    prior = registry().build(registry().config("prior", config), latent_dim=given.dim)
    peak = gemm_peak(torch.float32)
    with torch.no_grad():
        results = [measure(prior, given, rows, peak) for rows in given.rows]
    for result in results:
        for block in result["blocks"]:
            figures = ", ".join(f"{name} {value:.4g}" for name, value in block.items())
            print(f"rows {result['rows']}, {figures}")
        print(f"rows {result['rows']}, context 1024 over 64: {result['growth']:.2f} times the time")
    memory = peak_memory_bytes() / 2**30
    print(f"peak memory {memory:.2f} GiB")
    if given.out is not None:
        settings = {k: v for k, v in vars(given).items() if k != "out"}
        written = {"settings": settings, "rows": results, "memory_gib": memory}
        given.out.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
