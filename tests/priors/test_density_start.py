"""Densities along the ODE of the best possible fields, and of predictions that don't know small t.

Data are 16 channels of N(mean, std²) with E z² = 1, as latents are whose posterior has that std.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from exact_priors import whole
from torch import Tensor
from torch.distributions import Normal
from toys import generator, small_prior

from colaflex.priors.ode_density import TIMES

CHANNELS = 16
NARROW = (0.10, 0.05, 0.03, 0.02, 0.01)


def best(prediction: str, std: float, block: int = 1, deaf_below: float = 0.0) -> Any:
    """A prior whose prediction is the conditional mean in closed form.

    It takes smaller times for `deaf_below`, as a network may that never saw them.
    """
    prior = small_prior(
        "flow_matching", CHANNELS, block, prediction=prediction, divergence="exact"
    ).double()
    mean = centre(std, block)

    def predictor(*_: Any, **__: Any) -> Any:
        def predict(points: Tensor, times: Tensor) -> Tensor:
            t = times[..., None].clamp(min=deaf_below)
            beside = points - (1 - t) * mean
            variance = ((1 - t) * std) ** 2 + t**2
            clean = mean + (1 - t) * std**2 / variance * beside
            return clean if prediction == "x0" else t / variance * beside - clean

        return predict

    prior.denoiser.predictor = predictor
    return prior


def centre(std: float, block: int) -> Tensor:
    signs = torch.randint(2, (block, CHANNELS), generator=generator(3))
    return (2.0 * signs - 1.0).double() * math.sqrt(1 - std**2)


def errors(prior: Any, std: float, block: int = 1, rows: int = 40) -> Tensor:
    """(rows,) nats a latent that the density is above the truth."""
    law = Normal(centre(std, block), std)
    noise = torch.randn(rows, block, CHANNELS, generator=generator(4)).double()
    values = law.mean + std * noise
    truth = law.log_prob(values).sum((-1, -2))
    return (prior.log_prob(whole(values)) - truth) / block


@pytest.mark.parametrize("prediction", ["velocity", "x0"])
@pytest.mark.parametrize("std", NARROW)
def test_narrow_latents_have_their_density(prediction: str, std: float) -> None:
    found = errors(best(prediction, std), std)
    # A latent is worth 7 to 51 nats here.
    assert abs(float(found.mean())) < 0.01
    assert float(found.abs().max()) < 0.15


@pytest.mark.parametrize("prediction", ["velocity", "x0"])
@pytest.mark.parametrize(("std", "block"), [(1.0, 1), (0.5, 1), (0.2, 2), (0.02, 2)])
def test_wide_ones_and_blocks_do_as_well(prediction: str, std: float, block: int) -> None:
    assert float(errors(best(prediction, std, block), std, block, 10).abs().max()) < 0.05


@pytest.mark.parametrize("std", [0.05, 0.1, 0.2])
def test_what_is_predicted_at_unknown_times_is_not_divided_by_them(std: float) -> None:
    """A network that takes smaller times for 0.1 isn't followed down to where that costs most."""
    prior = best("x0", std, deaf_below=0.1)
    found = float(errors(prior, std).mean())
    assert prior.density_start() > 0.03
    prior.density_start = lambda: 0.02
    fixed = float(errors(prior, std).mean())
    prior.density_start = lambda: TIMES[-2]
    least = float(errors(prior, std).mean())
    assert -1 < found < 0 and fixed < -2 and least < 10 * fixed


def test_it_begins_as_early_as_the_best_prediction_allows() -> None:
    assert best("velocity", 0.1).density_start() == 0
    assert {best("x0", std).density_start() for std in NARROW} == {TIMES[-2]} == {0.001}
    assert small_prior("cnf", CHANNELS, prediction="x0").density_start() == 0.02


def test_more_steps_tell_the_solvers_error() -> None:
    prior = best("velocity", 0.05)
    prior.config = prior.config.model_copy(update={"likelihood_steps": 4})
    values = whole(centre(0.05, 1) + torch.zeros(1, 1, CHANNELS).double())
    law = Normal(centre(0.05, 1), 0.05)
    error = prior.log_prob(values) - law.log_prob(values.values).sum((-1, -2))
    assert float(error.abs()) > 3e-4
    # The method is of order four: what doubling changes is the error but for a sixteenth.
    assert float(-prior.density_change(values)) == pytest.approx(float(error), rel=0.2)
