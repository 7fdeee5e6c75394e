"""Locations by the loss of z0 and by that of velocities: quadrature, and the identity behind."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.integrate import quad

import colaflex
from colaflex.spec import Spec
from colaflex.studies.file.study_start import (
    KNOWN,
    effective_location,
    known_centre,
    x0_location,
)


def by_quadrature(loc: float, scale: float) -> float:
    """The mean of logit t under t² p(t), integrated over t itself."""

    def weight(t: float) -> float:
        logit = math.log(t / (1 - t))
        return math.exp(-0.5 * ((logit - loc) / scale) ** 2) / (t * (1 - t)) * t**2

    def moment(t: float) -> float:
        return weight(t) * math.log(t / (1 - t))

    low, high = 1e-12, 1 - 1e-12
    ends = {"limit": 400, "points": [0.1, 0.5, 0.9]}
    return quad(moment, low, high, **ends)[0] / quad(weight, low, high, **ends)[0]


@pytest.mark.parametrize(
    ("loc", "scale"), [(0.32, 1.0), (1.0, 1.0), (-2.0, 1.0), (3.0, 0.5), (0.0, 2.0), (0.01, 1.0)]
)
def test_the_effective_location_is_the_mean_under_the_weight(loc: float, scale: float) -> None:
    found = effective_location(loc, scale)
    assert found == pytest.approx(by_quadrature(loc, scale), abs=1e-6)
    assert loc < found < loc + 2 * scale**2
    assert x0_location(found, scale) == pytest.approx(loc, abs=1e-9)


def test_the_figures_of_the_page() -> None:
    best = [effective_location(loc) for loc in (0.01, 0.32, 0.50, 0.91)]
    assert best == pytest.approx([0.71, 0.94, 1.07, 1.38], abs=0.006)
    assert effective_location(1.0) == pytest.approx(1.44, abs=0.006)
    slopes = [effective_location(loc + 0.01) - effective_location(loc) for loc in (0.0, 0.91)]
    assert [slope / 0.01 for slope in slopes] == pytest.approx([0.71, 0.77], abs=0.01)


def test_an_error_of_z0_is_t_times_that_of_the_velocity() -> None:
    prior = colaflex.build("prior", "flow_matching", latent_dim=2, prediction="x0")
    clean, noise, guess = torch.randn(3, 5, 1, 2, generator=torch.Generator().manual_seed(0))
    times = torch.linspace(0.1, 0.9, 5)[:, None, None]
    point = torch.lerp(clean, noise, times)
    error = prior.denoiser.velocity(guess, point, times) - (noise - clean)
    torch.testing.assert_close(times * error, clean - guess)


@pytest.mark.parametrize(("prediction", "at"), [("velocity", 1.0), ("x0", x0_location(1.0))])
def test_a_search_starts_where_its_loss_acts_as_the_law_says(prediction: str, at: float) -> None:
    spec = Spec.load("specs/worlds.yaml").override({"prior.prediction": prediction})
    law = known_centre(spec)
    assert law.at == pytest.approx(at)
    if prediction == "velocity":
        assert law == KNOWN
    for dim in (8, 16, 43):
        found = law.given({law.of or "": dim})
        acts = found if prediction == "velocity" else effective_location(found)
        assert acts == pytest.approx(1 + 0.5 * math.log(dim / 16), abs=0.015)


def test_priors_without_a_prediction_keep_the_law() -> None:
    spec = Spec.load("specs/worlds.yaml").override(
        {"prior": "normalizing_flow", "sampling.guidance": 1}
    )
    assert known_centre(spec) == KNOWN


def test_it_is_what_is_compared_that_counts_not_what_is_predicted() -> None:
    spec = Spec.load("specs/worlds.yaml")
    clean = spec.override({"prior.prediction": "velocity", "prior.loss_space": "x0"})
    assert known_centre(clean).at == pytest.approx(x0_location(1.0))
    moved = spec.override({"prior.prediction": "x0", "prior.loss_space": "velocity"})
    assert known_centre(moved) == KNOWN
