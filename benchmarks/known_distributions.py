"""Does every prior learn what is known? python benchmarks/known_distributions.py [--only NAME ...].

Small priors, trained on three known distributions (`colaflex.testing.toys`): a mixture in two
dimensions, a correlated Gaussian in eight as a block of two latents, and a chain of two blocks.
Samples have to come as near as the stated bound, by their energy distance to 4,000 true ones (two
such samples of one law are up to 0.002 apart), at each number of steps that the prior is bound to.
Where it declares a likelihood, the mean of true less found log-density has to be within a bound in
nats: that mean is a KL divergence. Ends with 1 where a bound is missed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from page_tables import write_table

import colaflex
from colaflex.interfaces.options import SamplingOptions
from colaflex.interfaces.values import LatentBatch
from colaflex.testing.toys import TOYS, Toy, energy_distance, fit

ROWS = 4000
TABLE = Path(__file__).parent.parent / "docs" / "priors.md"
SMALL = {"width": 64, "layers": 2, "heads": 2}
FLOW = {
    "schedule": {"loc": 0.0},
    "network": {"type": "block_causal", "time_width": 64, **SMALL},
}
TRUNK = {"transformer": {**SMALL, "layers": 1}}
Bounds = tuple[float, float, float]
"""Of the mixture, the Gaussian, and the chain."""
FAITHFUL: Bounds = (0.01, 0.02, 0.01)
FEW_STEPS: Bounds = (0.03, 0.05, 0.02)
MOMENTS: Bounds = (0.08, 0.01, 0.01)
"""Of what is affine in a single latent: at best a Gaussian with its moments, 0.075 away.

Its KL divergence from the mixture is 1.378 nats.
"""


@dataclass(frozen=True)
class Case:
    """A prior as it is trained here, and what is asked of it."""

    name: str
    prior: str
    options: Mapping[str, Any]
    steps: tuple[int, ...]
    energy: Bounds
    nats: Bounds | None = None
    training: Mapping[str, Any] = field(default_factory=lambda: {"steps": 800})


EXACT = {"steps": 400, "rows": 128}
CASES = (
    Case("flow_matching", "flow_matching", FLOW, (16,), FAITHFUL, (0.1, 0.2, 0.1)),
    Case(
        "rectified_flow",
        "rectified_flow",
        {**FLOW, "teacher_steps": 32},
        (1, 2, 4, 16),
        FEW_STEPS,
        (0.15, 0.3, 0.15),
        {"steps": 1600},
    ),
    Case("consistency, training", "consistency", {**FLOW, "doublings": 5}, (1, 2, 4), FEW_STEPS),
    Case(
        "consistency, distillation",
        "consistency",
        {**FLOW, "doublings": 5, "mode": "distillation"},
        (1, 2, 4),
        FEW_STEPS,
    ),
    Case("shortcut", "shortcut", FLOW, (1, 2, 4, 16), FEW_STEPS),
    Case(
        "mean_flow",
        "mean_flow",
        {**FLOW, "self_taught": 0.5, "weight_power": 0},
        (1, 2, 4, 16),
        FEW_STEPS,
    ),
    Case("cnf", "cnf", FLOW, (16,), FEW_STEPS, (0.1, 0.2, 0.1), {"steps": 800, "rows": 128}),
    Case("hybrid", "hybrid", {**FLOW, "codes": 16, "code_layers": 1}, (16,), FAITHFUL),
    Case(
        "autoregressive_latent, mixture",
        "autoregressive_latent",
        {**TRUNK, "gaussian_mixture": {"components": 8}},
        (16,),
        FAITHFUL,
        (0.05, 0.4, 0.05),
    ),
    Case(
        "autoregressive_latent, diffusion",
        "autoregressive_latent",
        {**TRUNK, "head": "diffusion", "diffusion": {"width": 64, "layers": 2}},
        (16,),
        FAITHFUL,
    ),
    Case(
        "autoregressive_latent, energy",
        "autoregressive_latent",
        {**TRUNK, "head": "energy", "energy": {"width": 64, "layers": 2}},
        (16,),
        FAITHFUL,
    ),
    Case(
        "normalizing_flow",
        "normalizing_flow",
        {**SMALL, "hidden_width": 48, "transforms": 2},
        (16,),
        FAITHFUL,
        (0.05, 0.15, 0.05),
        EXACT,
    ),
    Case(
        "autoregressive_flow",
        "autoregressive_flow",
        {**SMALL, "flow_layers": 1},
        (16,),
        MOMENTS,
        (1.4, 0.15, 0.05),
        EXACT,
    ),
    Case(
        "gaussian",
        "gaussian",
        {},
        (16,),
        MOMENTS,
        (1.4, 0.05, 0.05),
        {"steps": 40},
    ),
)


def built(case: Case, toy: Toy) -> Any:
    """The prior of a case for the latents of a toy, the same at every call."""
    shape = {"latent_dim": toy.dim, "block_size": toy.block_size}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return colaflex.build("prior", case.prior, **shape, **case.options)


def measure(case: Case, toy: Toy) -> tuple[dict[int, float], float | None]:
    """Energy distances by sampling steps, and the gap in nats where a density is declared."""
    prior = fit(built(case, toy), toy.sample, **case.training)
    held = toy.sample(ROWS, torch.Generator().manual_seed(1))
    apart = {}
    for steps in case.steps:
        made = prior.sample(ROWS, toy.blocks, SamplingOptions(steps), 1)
        apart[steps] = energy_distance(made.flatten(1), held.flatten(1))
    if case.nats is None:
        return apart, None
    with torch.no_grad():
        found = prior.log_prob(LatentBatch(held, torch.ones(held.shape[:2], dtype=torch.bool)))
    return apart, float((toy.log_prob(held) - found).mean())


def cells(case: Case) -> Iterator[tuple[str, bool]]:
    """Of each toy, what the table shows, and whether it is within bounds."""
    for index, toy in enumerate(TOYS.values()):
        apart, gap = measure(case, toy)
        within = max(apart.values()) <= case.energy[index]
        distances = " / ".join(f"{value:.3f}" for value in apart.values())
        shown = f"{distances} (≤ {case.energy[index]:g})"
        if gap is not None and case.nats is not None:
            within = within and abs(gap) <= case.nats[index]
            shown += f"; {gap:.3f} nats (≤ {case.nats[index]:g})"
        yield shown, within


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--only", nargs="+", default=[c.name for c in CASES], metavar="NAME")
    parser.add_argument("--write", action="store_true", help="put the table into docs/priors.md")
    given = parser.parse_args()
    torch.set_num_threads(1)
    lines, missed = [f"| prior | steps | {' | '.join(TOYS)} |", "|---|---|---|---|---|"], []
    print("\n".join(lines), flush=True)
    for case in CASES:
        if case.name not in given.only:
            continue
        began = time.perf_counter()
        found = list(cells(case))
        word, comma, variant = case.name.partition(",")
        steps = " / ".join(map(str, case.steps)) if case.options.get("network") else "any"
        line = [f"`{word}`{comma}{variant}", steps, *(shown for shown, _ in found)]
        lines.append(f"| {' | '.join(line)} |")
        print(lines[-1], flush=True)
        print(f"{case.name}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
        if not all(within for _, within in found):
            missed.append(case.name)
    if given.write:
        write_table(TABLE, "known distributions", lines)
    if missed:
        print(f"out of bounds: {', '.join(missed)}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
