"""Does the drift test find the drift that is there, and none where there is none?

Studies of an objective whose best schedule location is known: latent vectors of d coordinates
z_i = a·g + noise share one factor g, so that u = Var(g | z_t) = 1/(1 + d·a²·s), s = ((1−t)/t)².
What training at noise level t teaches of g is taken to be u(1−u), and J_d(δ) is its mean over
t ~ logit-normal(δ, 1). It is symmetric in logit t about ½·ln(d·a²): there is its optimum, which
drifts by ½ per unit of ln d. In the control each coordinate has a factor of its own,
u = 1/(1 + a²·s), and nothing drifts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import optuna
from numpy.polynomial.hermite_e import hermegauss

from colaflex.studies.trials import TrialRecord, records_of

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
