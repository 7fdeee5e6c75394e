"""Does the drift test find a drift where there is one: python benchmarks/planted_optimum.py.

Studies of an objective whose best schedule location is known: latent vectors of d coordinates
z_i = a·g + noise share one factor g, so that u = Var(g | z_t) = 1/(1 + d·a²·s), s = ((1−t)/t)².
What training at noise level t teaches of g is taken to be u(1−u), and J_d(δ) is its mean over
t ~ logit-normal(δ, 1). It is symmetric in logit t about ½·ln(d·a²): there is its optimum, which
drifts by ½ per unit of ln d. In the control each coordinate has a factor of its own,
u = 1/(1 + a²·s), and nothing drifts.

Writes benchmarks/results/planted_optimum.json: of --seeds studies of each kind, in how many the
slope's 95 % interval covers the truth, leaves out 0, and how wide it is.
"""

from __future__ import annotations

import argparse
import json
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.polynomial.hermite_e import hermegauss

from colaflex.studies.explanation.drift import LAW, drift
from colaflex.studies.explanation.evidence import evidence
from colaflex.studies.explanation.explanation import Drift
from colaflex.studies.trials import TrialRecord, records_of

RESULTS = Path(__file__).parent / "results" / "planted_optimum.json"
SIZES = ((60, 0.1), (60, 0.05), (30, 0.2))
"""Trials, and their noise."""

LOC, DIM = "prior.schedule.loc", "representation.latent_dim"
DIMS = (4, 8, 16, 32, 64, 128)
RANGE = (-2.0, 5.0)
NODES, WEIGHTS = hermegauss(60)


@dataclass(frozen=True, slots=True)
class Planted:
    """The objective.

    Attributes:
        shared: one factor for all coordinates, else one for each.
        strength: a, of the factor in a coordinate.
        noise: standard deviation of what a trial measures, as a share of the greatest objective.
    """

    shared: bool = True
    strength: float = 1.0
    noise: float = 0.1

    def optimum(self, dim: int) -> float:
        """The best location."""
        return 0.5 * math.log((dim if self.shared else 1) * self.strength**2)

    def value(self, dim: int, loc: float) -> float:
        """J_d(δ), by Gauss and Hermite's quadrature over logit t."""
        signal = (dim if self.shared else 1) * self.strength**2
        u = 1 / (1 + signal * np.exp(-2 * (loc + NODES)))
        return float(WEIGHTS @ (u * (1 - u)) / WEIGHTS.sum())

    def measured(self, dim: int, loc: float, rng: np.random.Generator) -> float:
        """With a trial's noise."""
        greatest = self.value(dim, self.optimum(dim))
        return self.value(dim, loc) + self.noise * greatest * float(rng.standard_normal())


@dataclass(frozen=True, slots=True)
class Parameter:
    """A searched setting."""

    path: str
    distribution: optuna.distributions.BaseDistribution


@dataclass(frozen=True, slots=True)
class PlantedSpace:
    """The search space: dimension and location."""

    parameters: tuple[Parameter, ...] = (
        Parameter(DIM, optuna.distributions.CategoricalDistribution(DIMS)),
        Parameter(LOC, optuna.distributions.FloatDistribution(*RANGE)),
    )


def search(planted: Planted, sampler: str, trials: int, seed: int) -> list[TrialRecord]:
    """A study of it.

    Args:
        planted: the objective.
        sampler: tpe or random.
        trials: how many.
        seed: of the sampler and of the noise.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rng = np.random.default_rng([seed, 1])
    chosen = (
        optuna.samplers.RandomSampler(seed=seed)
        if sampler == "random"
        else optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=False)
    )
    study = optuna.create_study(direction="maximize", sampler=chosen)

    def objective(trial: optuna.Trial) -> float:
        dim = int(trial.suggest_categorical(DIM, DIMS))
        return planted.measured(dim, trial.suggest_float(LOC, *RANGE), rng)

    study.optimize(objective, n_trials=trials)
    return records_of(study.trials)


def drift_of(records: list[TrialRecord], seed: int) -> Drift | None:
    """The drift of the best location along the dimension."""
    found = evidence(records, PlantedSpace(), "higher")
    knobs = {knob.path: knob for knob in found.knobs}
    return drift(found, knobs[LOC], knobs[DIM], seed=seed)[0]


def rows(seeds: int) -> Iterator[dict[str, Any]]:
    """What was found in studies of each kind."""
    for trials, noise in SIZES:
        for sampler in ("tpe", "random"):
            for shared in (True, False):
                planted, truth = Planted(shared, noise=noise), LAW if shared else 0.0
                runs = (drift_of(search(planted, sampler, trials, s), s) for s in range(seeds))
                drifts = [found for found in runs if found is not None]
                slopes = [found.slope for found in drifts]
                levels = [(planted.optimum(int(x.level)), x) for d in drifts for x in d.levels]
                yield {
                    "drift": shared,
                    "sampler": sampler,
                    "trials": trials,
                    "noise": noise,
                    "seeds": seeds,
                    "estimated": len(drifts),
                    "covers": float(np.mean([slope.covers(truth) for slope in slopes])),
                    "found": float(np.mean([found.found for found in drifts])),
                    "p_below_0.05": float(np.mean([found.p_value <= 0.05 for found in drifts])),
                    "slope": float(np.median([slope.value for slope in slopes])),
                    "width": float(np.median([slope.high - slope.low for slope in slopes])),
                    "levels_cover": float(np.mean([x.optimum.covers(best) for best, x in levels])),
                }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=200, help="studies of each kind")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the figures go")
    given = parser.parse_args()
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    written = []
    for row in rows(given.seeds):
        print(json.dumps(row), flush=True)
        written.append(row)
        given.out.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
