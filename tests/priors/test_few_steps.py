"""Priors for few steps recover known distributions at 1, 2 and 4 steps.

Training is short (some 50,000 samples; sampling alone accounts for 0.002 of an energy distance),
and a single Euler step of plain flow matching is more than 0.08 away from the mixture
(test_known_distributions.py). Consistency without a teacher and mean flow need longer for the
Gaussian: benchmarks/known_distributions.py trains all priors on all three.
"""

from __future__ import annotations

from typing import Any

import pytest
from toys import chain, energy_distance, fit, gaussian, generator, mixture, sampled, small_prior

SCHEDULE = {"loc": 0.0}
OPTIONS: dict[str, dict[str, Any]] = {
    "consistency": {"doublings": 4},
    "distilled": {"mode": "distillation", "doublings": 4},
    "shortcut": {},
    # Blocks of few channels: an adaptive weight would prefer errors that are small by chance.
    "mean_flow": {"self_taught": 0.5, "weight_power": 0},
}
TEACHER = {"rectified_flow": {"teacher_steps": 4}}


def trained(name: str, toy: Any, dim: int, block: int, options: dict[str, Any], **run: Any) -> Any:
    kind = "consistency" if name == "distilled" else name
    prior = small_prior(kind, dim, block, schedule=SCHEDULE, **options, **(OPTIONS | TEACHER)[name])
    return fit(prior, toy, **run)


def distances(prior: Any, toy: Any, blocks: int = 1) -> dict[int, float]:
    truth = toy(3000, generator(1)).flatten(1)
    return {
        steps: energy_distance(sampled(prior, 3000, blocks, steps=steps).flatten(1), truth)
        for steps in (1, 2, 4)
    }


@pytest.mark.parametrize("name", OPTIONS)
def test_a_mixture_is_recovered_in_few_steps(name: str) -> None:
    found = distances(trained(name, mixture, 2, 1, {}, steps=260), mixture)
    assert max(found.values()) < 0.045, found


@pytest.mark.slow
@pytest.mark.parametrize("name", ["distilled", "shortcut"])
def test_a_correlated_gaussian_is_recovered_in_few_steps(name: str) -> None:
    found = distances(trained(name, gaussian, 4, 2, {}, steps=400, rows=128), gaussian)
    assert max(found.values()) < 0.06, found


@pytest.mark.parametrize(
    "name",
    [*(pytest.param(name, marks=pytest.mark.slow) for name in OPTIONS), "rectified_flow"],
)
def test_a_block_is_drawn_given_the_one_before_in_few_steps(name: str) -> None:
    options = {"history_dropout": 0, "network": {"width": 32, "layers": 1, "time_width": 32}}
    prior = trained(name, chain, 1, 1, options, steps=250, rows=64, rate=1e-2)
    found = distances(prior, chain, blocks=2)
    # Blocks drawn each for itself would be 0.08 away.
    assert max(found.values()) < 0.035, found
