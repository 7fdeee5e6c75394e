"""Joint search against one knob at a time on a narrow ridge: python benchmarks/ridge.py.

A synthetic loss of four knobs, in nats above its optimum. The best loc is half the logarithm of the
latent dimension, the ridge: one octave off costs more than an octave nearer the best dimension
gains, if loc stays where it was. One at a time begins with dimension 16 at its own best loc, which
counts as one of its trials. Measurements are noisy; what counts is the loss without noise of the
point that was measured best. Writes benchmarks/results/ridge.json.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution

from colaflex.files.writing import write_atomic
from colaflex.statistics.draws import keyed_rng
from colaflex.studies.objective import Point
from colaflex.studies.sampling.sampler_options import Named
from colaflex.studies.sampling.samplers import build_sampler
from colaflex.studies.sampling.start import Centre, Start
from colaflex.studies.space.parameters import Parameter
from colaflex.studies.space.space import Space

RECORDS = Path(__file__).parent / "results" / "ridge.json"
SPACE = Space(
    (
        Parameter("dim", "dim", CategoricalDistribution((4, 8, 16, 32, 64, 128, 256))),
        Parameter("log_snr", "log_snr", CategoricalDistribution((1, 2, 3, 4))),
        Parameter("loc", "loc", FloatDistribution(-1, 4)),
        Parameter("block", "block", CategoricalDistribution((1, 2, 4, 8, 16))),
    )
)
ORIGIN: Point = {"dim": 16, "log_snr": 2, "loc": 0.5 * math.log(16), "block": 4}
NOISES = (0.0, 0.05)
BUDGETS = (30, 60, 100)
WIDTHS = (0.2, 0.3, 0.4, 0.6)
SEEDS = 20


@dataclass(frozen=True)
class Ridge:
    """The loss, in nats above the optimum; a seed has its own best dimension, log_snr and block.

    Attributes:
        seed: of the optimum and the noise.
        width: by how much loc may be off for one nat.
        noise: standard deviation of a measurement.
    """

    seed: int
    width: float = 0.3
    noise: float = 0.05
    best: Mapping[str, float] = field(init=False)

    def __post_init__(self) -> None:
        """Draw the optimum: two or three octaves from where the searches begin."""
        rng = keyed_rng("ridge", self.seed)
        best = {
            "dim": int(rng.choice([64, 128])),
            "log_snr": int(rng.choice([1, 3, 4])),
            "block": int(rng.choice([1, 2, 8, 16])),
        }
        object.__setattr__(self, "best", best)

    def loss(self, point: Point) -> float:
        """Without noise."""
        dim, loc = float(point["dim"]), float(point["loc"])
        off = (loc - 0.5 * math.log(dim)) / self.width
        octaves = math.log2(dim / self.best["dim"])
        snr = float(point["log_snr"]) - self.best["log_snr"]
        blocks = math.log2(float(point["block"]) / self.best["block"])
        return off**2 + 0.2 * octaves**2 + 0.1 * snr**2 + 0.05 * blocks**2

    def measured(self, point: Point, number: int) -> float:
        """With the noise of a trial."""
        return self.loss(point) + self.noise * float(keyed_rng("noise", self.seed, number).normal())


LAW = Start(centres={"loc": Centre(at=0.5 * math.log(16), slope=0.5, of="dim", reference=16)})
ARMS: Mapping[str, tuple[Named, Start | None]] = {
    "joint, starting distribution": (Named(type="tpe"), LAW),
    "joint": (Named(type="tpe"), None),
    "random": (Named(type="random"), None),
    "one at a time, 1 pass": (Named(type="one_at_a_time", options={"passes": 1}), None),
    "one at a time, 2 passes": (Named(type="one_at_a_time", options={"passes": 2}), None),
    "one at a time, 3 passes": (Named(type="one_at_a_time", options={"passes": 3}), None),
}


def found(ridge: Ridge, arm: str, budget: int) -> float:
    """The loss without noise of the point that an arm measured best."""
    named, start = ARMS[arm]
    sampler = build_sampler(named, SPACE, ["lower"], ridge.seed, start, ORIGIN, budget)
    study = optuna.create_study(sampler=sampler)
    study.optimize(lambda trial: ridge.measured(SPACE.suggest(trial), trial.number), budget)
    return ridge.loss(study.best_params)


@dataclass(frozen=True)
class Row:
    """One arm under one condition: the losses it ends at, by seed."""

    width: float
    noise: float
    budget: int
    arm: str
    losses: Sequence[float]

    @property
    def condition(self) -> tuple[float, float, int]:
        """What is the same for the rows that are compared."""
        return self.width, self.noise, self.budget


def rows(seeds: int) -> Iterator[Row]:
    """Every arm at every budget, with noise and without; and with wider and narrower ridges."""
    conditions = [(0.3, noise, budget) for noise in NOISES for budget in BUDGETS]
    conditions += [(width, 0.05, 60) for width in WIDTHS if width != 0.3]
    for width, noise, budget in conditions:
        for arm in ARMS:
            losses = [found(Ridge(seed, width, noise), arm, budget) for seed in range(seeds)]
            yield Row(width, noise, budget, arm, losses)


def wins(row: Row, others: Sequence[Row]) -> str:
    """In how many seeds an arm ends lower than the best control, the one of the lowest median."""
    controls = [
        other
        for other in others
        if other.condition == row.condition and other.arm.startswith("one at a time")
    ]
    if row in controls or not controls:
        return ""
    control = min(controls, key=lambda other: median(other.losses))
    count = sum(a < b for a, b in zip(row.losses, control.losses, strict=True))
    return f"{count} of {len(row.losses)}"


def table(done: Sequence[Row]) -> str:
    """All rows for people."""
    lines = [
        "| width | noise | trials | search | median loss | worst loss | lower than one at a time |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in done:
        shown = f"{median(row.losses):.3f} | {max(row.losses):.3f} | {wins(row, done)}"
        lines.append(f"| {row.width} | {row.noise} | {row.budget} | {row.arm} | {shown} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all searches, print the table, write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--out", type=Path, default=RECORDS)
    options = parser.parse_args(arguments)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    began, done = time.perf_counter(), []
    for row in rows(options.seeds):
        done.append(row)
        print(f"{row.condition} {row.arm}: {median(row.losses):.3f}", file=sys.stderr)
    write_atomic(options.out, json.dumps([asdict(row) for row in done], indent=1) + "\n")
    print(table(done))
    print(f"\n{len(done)} rows in {time.perf_counter() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
