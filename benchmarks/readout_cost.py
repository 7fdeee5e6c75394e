"""What a step costs with a categorical readout: python benchmarks/readout_cost.py [--large].

Forward and backward pass of flow matching's losses, in turn with the linear head, so that drift
hits both; and the memory that each takes at most beyond its weights. At the size of the board of
stories, or with --large at 12 layers of width 768, rows of 128 latents of 4 tokens, 32,000 tokens.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from timing import medians_in_turn

import colaflex
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.values import LatentBatch
from colaflex.representations.categorical_readout import CategoricalReadout
from colaflex.representations.configs import ReadoutConfig
from colaflex.representations.token_content import TokenHistory, TokenSlots


@dataclass(frozen=True)
class Size:
    """What is trained, and on what."""

    width: int
    layers: int
    heads: int
    rows: int
    latents: int
    dim: int
    symbols: int
    slots: int
    inner: int


BOARD = Size(96, 3, 3, 32, 20, 16, 553, 4, 48)
LARGE = Size(768, 12, 12, 8, 128, 16, 32_001, 4, 64)


def step(size: Size, readout: bool, history: bool) -> Callable[[], None]:
    """One forward and backward pass after the other."""
    network = {
        "type": "block_causal",
        "width": size.width,
        "layers": size.layers,
        "heads": size.heads,
    }
    torch.manual_seed(0)
    prior: Any = colaflex.build(
        "prior",
        "flow_matching",
        latent_dim=size.dim,
        block_size=1,
        prediction="x0",
        network=network,
    )
    slots = TokenSlots(size.symbols, size.slots, size.dim, size.inner)
    prior.take(
        CategoricalReadout(ReadoutConfig(), slots, size.width) if readout else None,
        TokenHistory(slots, size.width) if history else None,
    )
    values = torch.randn(size.rows, size.latents, size.dim)
    content = torch.randint(size.symbols - 1, (size.rows, size.latents, size.slots))
    batch = LatentBatch(values, torch.ones(values.shape[:2], dtype=torch.bool), content=content)

    def work() -> None:
        prior.zero_grad(set_to_none=True)
        terms = prior.losses(batch, Noise(0)).values()
        total = torch.stack([term.weight * term.total for term in terms]).sum()
        total.backward()

    return work


def main() -> None:
    """Measure and print; with --out, also write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--embedding-dim", type=int)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    size = LARGE if given.large else BOARD
    if given.embedding_dim:
        size = Size(**{**vars(size), "inner": given.embedding_dim})
    names = ("linear", "readout", "readout and history as text")
    works = [step(size, False, False), step(size, True, False), step(size, True, True)]
    seconds = medians_in_turn(works, given.repeats)
    for name, taken in zip(names, seconds, strict=True):
        print(f"{name}: {1e3 * taken:.1f} ms, {taken / seconds[0]:.2f} x")
    if given.out:
        found = {"size": vars(size), "threads": given.threads}
        found["seconds"] = dict(zip(names, seconds, strict=True))
        given.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
