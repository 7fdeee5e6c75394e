"""Speed of generation with a flow prior: python benchmarks/generate.py.

Reports the time of one block behind histories of growing length, tokens per second, FLOP/s as a
fraction of the GEMM peak measured in the same run, and peak memory.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from timing import gemm_peak, median_seconds

from colaflex.interfaces.noise import SampleNoise
from colaflex.interfaces.options import SamplingOptions
from colaflex.registry import registry
from colaflex.training.memory import peak_memory_bytes


def block_flops(given: argparse.Namespace, context: int) -> float:
    """Model FLOPs of sampling one block: matrix products and attention over the history."""
    hidden = round(given.width * 8 / 3 / 8) * 8
    linear = 2 * given.layers * (4 * given.width**2 + 3 * given.width * hidden)
    pairs = 4 * given.layers * given.width * (context + given.block)
    return float(given.rows * given.steps * given.block * (linear + pairs))


def main() -> None:
    """Measure and print; with --out, also write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in (
        ("width", 256), ("layers", 6), ("block", 16), ("dim", 16), ("rows", 8), ("steps", 16),
        ("repeats", 7), ("threads", 2), ("patch", 4),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=value)
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
    noise = SampleNoise(tuple(map(str, range(given.rows))))
    options = SamplingOptions(steps=given.steps)
    peak = gemm_peak(torch.float32)
    rows: list[dict[str, Any]] = []
    for context in (64, 256, 1024):
        with torch.no_grad():
            state = prior.begin(given.rows)
            latents = torch.randn(given.rows, context, given.dim)
            state = prior.commit(state, latents)

            def one_block(state: Any = state) -> None:
                drawn = prior.sample_block(state, noise, options)
                prior.commit(state, drawn)

            seconds = median_seconds(one_block, given.repeats)
        flops = block_flops(given, context)
        rows.append(
            {
                "context": context,
                "milliseconds_per_block": 1000 * seconds,
                "tokens_per_second": given.rows * given.block * given.patch / seconds,
                "fraction_of_fp32_peak": flops / seconds / peak,
            }
        )
        print(", ".join(f"{name} {value:.4g}" for name, value in rows[-1].items()))
    growth = rows[-1]["milliseconds_per_block"] / rows[0]["milliseconds_per_block"]
    memory = peak_memory_bytes() / 2**30
    print(f"time per block, context 1024 over 64: {growth:.2f}; peak memory {memory:.2f} GiB")
    if given.out is not None:
        settings = {k: v for k, v in vars(given).items() if k != "out"}
        result = {"settings": settings, "blocks": rows, "growth": growth, "memory_gib": memory}
        given.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
