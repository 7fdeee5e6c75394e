"""Spaces for the tests of samplers."""

from __future__ import annotations

import math
from collections.abc import Callable

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from colaflex.studies.objective import Point
from colaflex.studies.space.parameters import Parameter
from colaflex.studies.space.space import Space

__all__ = ["CHOICES", "CONDITIONAL", "KNOBS", "loss", "run"]

KNOBS = Space(
    (
        Parameter("dim", "dim", CategoricalDistribution((4, 16, 64))),
        Parameter("loc", "loc", FloatDistribution(-1, 3)),
        Parameter("width", "width", FloatDistribution(0.01, 10, log=True)),
    )
)
CHOICES = Space(
    (
        Parameter("dim", "dim", CategoricalDistribution((4, 16, 64))),
        Parameter("block", "block", IntDistribution(1, 4)),
        Parameter("gate", "gate", CategoricalDistribution((False, True))),
    )
)
FLOW = frozenset({(("prior", "flow"),)})
GAUSS = frozenset({(("prior", "gauss"),)})
CONDITIONAL = Space(
    (
        Parameter("prior", "prior", CategoricalDistribution(("flow", "gauss"))),
        Parameter("prior.loc", "prior.loc", FloatDistribution(-1, 3), "flow", FLOW),
        Parameter("prior.rank", "prior.rank", CategoricalDistribution((1, 2, 3)), "gauss", GAUSS),
        Parameter("dim", "dim", CategoricalDistribution((4, 16, 64))),
    )
)


def loss(point: Point) -> float:
    """Lowest, 0, at dim 64, loc ln(64)/2, width 1, block 3, gate open, prior gauss of rank 2."""
    dim = float(point.get("dim", 64))
    loc = float(point.get("loc", point.get("prior.loc", 0.5 * math.log(dim))))
    return (
        (loc - 0.5 * math.log(dim)) ** 2
        + 0.1 * math.log(dim / 64) ** 2
        + 0.1 * math.log(float(point.get("width", 1))) ** 2
        + abs(float(point.get("block", 3)) - 3)
        + (0.0 if point.get("gate", True) else 0.5)
        + (0.3 if point.get("prior") == "flow" else 0.0)
        + 0.2 * abs(float(point.get("prior.rank", 2)) - 2)
    )


def run(
    study: optuna.Study, space: Space, trials: int, measure: Callable[[Point], float] = loss
) -> list[Point]:
    """Go on until so many trials exist; gives the points of all."""
    for _ in range(trials - len(study.trials)):
        trial = study.ask()
        study.tell(trial, measure(space.suggest(trial)))
    return [space.point(trial.params) for trial in study.trials]
