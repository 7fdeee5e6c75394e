"""What a flow prior compares, whatever it predicts: against weights by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import colaflex
from colaflex.errors import UserError
from colaflex.host.registry import registry
from colaflex.priors.flow import FlowPrior
from colaflex.priors.path import Masks, Path

TIMES = torch.tensor([[0.01, 0.1, 0.5, 0.9]])
NETWORK = {"type": "block_causal", "width": 16, "layers": 1, "heads": 2, "time_width": 16}


def path() -> Path:
    generator = torch.Generator().manual_seed(0)
    data, noise = torch.randn(2, 1, 4, 3, 5, generator=generator)
    return Path(data, noise, TIMES, Masks.free(torch.ones(1, 4, 3, dtype=torch.bool)))


def prior(**options: Any) -> Any:
    return colaflex.build(
        "prior", "flow_matching", latent_dim=5, block_size=3, network=NETWORK, **options
    )


def off_by(error: Tensor, prediction: str) -> Callable[[Tensor, Tensor], Tensor]:
    """A network whose clean latents are off by so much."""

    def predict(points: Tensor, times: Tensor) -> Tensor:
        clean = path().data + error
        return clean if prediction == "x0" else (points - clean) / times[..., None]

    return predict


WEIGHTS = {
    "x0": [1.0, 1.0, 1.0, 1.0],
    "velocity": [1 / 0.02**2, 100.0, 4.0, 1 / 0.81],  # no t below 0.02 divides
    "snr": [5.0, 5.0, 1.0, 1 / 81],
}


@pytest.mark.parametrize("space", WEIGHTS)
@pytest.mark.parametrize("prediction", ["x0", "velocity"])
def test_errors_of_clean_latents_are_weighed_by_time(space: str, prediction: str) -> None:
    error = torch.randn(1, 4, 3, 5, generator=torch.Generator().manual_seed(1))
    built = prior(prediction=prediction, loss_space=space)
    loss = built.objective(path(), off_by(error, prediction))
    weights = torch.tensor(WEIGHTS[space])[None, :, None]
    torch.testing.assert_close(loss, weights * error.square().mean(-1), rtol=2e-3, atol=1e-6)


@pytest.mark.parametrize("prediction", ["x0", "velocity"])
def test_by_default_what_is_predicted_is_compared(prediction: str) -> None:
    error = torch.randn(1, 4, 3, 5, generator=torch.Generator().manual_seed(1))
    predict, at = off_by(error, prediction), path()
    predicted = predict(at.point(), TIMES[..., None])
    loss = prior(prediction=prediction).objective(at, predict)
    truth = at.data if prediction == "x0" else at.velocity()
    assert loss.equal((predicted - truth).square().mean(-1))
    same = prior(prediction=prediction, loss_space=prediction).objective(at, predict)
    late = TIMES[0] > 0.02
    torch.testing.assert_close(same[:, late], loss[:, late], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("space", ["auto", "velocity", "snr"])
@pytest.mark.parametrize("prediction", ["x0", "velocity"])
def test_the_weight_is_that_of_the_loss(space: str, prediction: str) -> None:
    error = torch.full((1, 4, 3, 5), 0.1)
    built = prior(prediction=prediction, loss_space=space)
    loss = built.objective(path(), off_by(error, prediction))[..., 0]
    late = TIMES > 0.02
    torch.testing.assert_close(
        loss[late], 0.01 * built.error_weight(TIMES)[late], rtol=1e-3, atol=0
    )


class Absolute(FlowPrior):
    """A stranger's objective."""

    def objective(self, path: Path, predict: Any) -> Tensor:
        return (predict(path.point(), path.times[..., None]) - path.velocity()).abs().mean(-1)


def test_an_objective_of_its_own_takes_no_space() -> None:
    known = registry()
    for space in ("auto", "snr"):
        config = known.config("prior", {"type": "flow_matching", "loss_space": space})
        if space == "auto":
            Absolute(config, latent_dim=5, build=known.build)
        else:
            with pytest.raises(UserError, match="loss_space: Absolute has an objective of its own"):
                Absolute(config, latent_dim=5, build=known.build)
