"""Own-trajectory consistency: its closed form, what it does to a fit, and what it leaves alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from random_priors import BLOCK, BLOCKS, ROWS, batch, latents, shaken
from torch import Tensor
from toys import energy_distance, fit, generator, mixture, sampled, small_prior

import colaflex
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.values import LatentBatch
from colaflex.priors.path import Masks, Path
from colaflex.priors.trajectory import later, later_prediction, take_into_average

ON = {"trajectory": {"weight": 1.0, "warmup": 0.0, "steps": 8}}


def test_the_next_time_is_the_samplers() -> None:
    times = torch.tensor([1.0, 0.76, 0.75, 0.5, 0.26, 0.25, 0.1])
    expected = torch.tensor([0.75, 0.75, 0.5, 0.25, 0.25, 0.0, 0.0])
    assert torch.equal(later(times, 4), expected)


class Exact:
    """The denoiser of standard-normal data: E[z0 | z_t] = k(t) z_t."""

    recall = None

    @staticmethod
    def slope(times: Tensor) -> Tensor:
        return (1 - times) / ((1 - times) ** 2 + times**2)

    def predictor(self, past: Any, masks: Masks, condition: Tensor | None = None) -> Any:
        assert condition is None
        return lambda points, times: self.slope(times)[..., None] * points

    def clean(self, prediction: Tensor, points: Tensor, times: Tensor) -> Tensor:
        return prediction


def test_of_gaussian_data_the_distance_is_known() -> None:
    times = torch.tensor([[0.9, 0.55, 0.3]], dtype=torch.float64).expand(1000, -1)
    data, eps = (torch.randn(1000, 3, 2, 4, generator=generator(s)).double() for s in (0, 1))
    masks = Masks.free(torch.ones(1000, 3, 2, dtype=torch.bool))
    path, exact = Path(data, eps, times, masks), Exact()
    clean = exact.slope(times)[..., None, None] * path.point()
    found, then = later_prediction(exact, None, path, clean, steps=4)  # type: ignore[arg-type]
    torch.testing.assert_close(then[0], torch.tensor([0.75, 0.5, 0.25], dtype=torch.float64))
    k, later_k, ratio = exact.slope(times), exact.slope(then), then / times
    residual = k - later_k * (ratio + (1 - ratio) * k)
    expected = residual[..., None, None] * path.point()
    torch.testing.assert_close(clean - found, expected)
    # It is not 0 though nothing could be learned: E r^2 = residual^2 E z_t^2.
    power = (clean - found).square().mean((0, 2, 3))
    variance = (1 - times[0]) ** 2 + times[0] ** 2
    torch.testing.assert_close(power, residual[0] ** 2 * variance, rtol=0.05, atol=0)
    assert (power > 1e-4).all()


def test_pinned_positions_stay_and_blind_rows_stay_blind() -> None:
    prior = shaken(**ON, history_dropout=0.5, pinned_blocks=1.0, noisings=2)
    path = prior.draw_path(batch(latents()), Noise(0, 1), 2)
    assert path.masks.pinned.any() and path.masks.blind.any() and not path.masks.blind.all()
    asked: list[Tensor] = []
    history = prior.blocks(latents())

    def target(history: Tensor) -> Tensor:
        past = prior.average.past(history)
        predictor = prior.average.predictor

        def spied(past: Any, masks: Masks, condition: Tensor | None = None) -> Any:
            predict = predictor(past, masks, condition)
            return lambda points, times: (asked.append(points), predict(points, times))[1]

        prior.average.predictor = spied
        try:
            return later_prediction(prior.average, past, path, torch.zeros_like(path.data), 8)[0]
        finally:
            del prior.average.predictor

    found, other = target(history), target(history + 1)
    assert torch.equal(asked[0][path.masks.pinned], path.data[path.masks.pinned])
    blind = path.masks.blind
    assert torch.equal(found[blind], other[blind])
    assert not torch.allclose(found[~blind][:, 1:], other[~blind][:, 1:])


def test_off_it_is_not_there_and_on_it_adds_a_term_alone() -> None:
    off, on = shaken(), shaken(**ON)
    assert not any(name.startswith("average") for name in off.state_dict())
    assert off.average is None
    on.load_state_dict({**on.state_dict(), **off.state_dict()})
    values, noise = batch(latents()), Noise(3)
    plain, more = off.losses(values, noise), on.losses(values, noise)
    assert list(more) == [*plain, "trajectory"]
    assert torch.equal(plain["flow"].total, more["flow"].total)
    early = {"trajectory": {"weight": 1.0, "warmup": 0.5}}
    assert list(shaken(**early).losses(values, Noise(3, 4, steps=10))) == ["flow"]
    assert list(shaken(**early).losses(values, Noise(3, 5, steps=10))) == ["flow", "trajectory"]


def test_it_is_counted_behind_its_warm_up() -> None:
    off, early = shaken(), shaken(trajectory={"weight": 1.0, "warmup": 0.25})
    plain = off.training_flops(ROWS, BLOCKS * BLOCK)
    one_pass = plain / 3  # forward, and backward as twice that
    assert early.training_flops(ROWS, BLOCKS * BLOCK) == pytest.approx(plain + 0.75 * one_pass)


def test_the_average_learns_nothing_and_forgets_its_start() -> None:
    prior = shaken(**ON)
    phase = prior.phases()[0]
    learned = {id(p) for p in phase.parameters}
    assert not any(id(p) in learned for p in prior.average.parameters())
    prior.losses(batch(latents()), Noise(0))["trajectory"].total.backward()
    assert all(p.grad is None for p in prior.average.parameters())
    assert prior.head.weight.grad is not None
    one, two = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    start, weight = one.weight.detach().clone(), two.weight.detach().clone()
    take_into_average(one, two, 0.5, 0)
    torch.testing.assert_close(one.weight, 0.1 * start + 0.9 * weight)
    take_into_average(one, two, 0.5, 100)
    torch.testing.assert_close(one.weight, 0.05 * start + 0.95 * weight)
    mixed = 0.1 * prior.average.head.weight + 0.9 * prior.head.weight
    phase.stepped(0)
    torch.testing.assert_close(prior.average.head.weight, mixed, atol=1e-12, rtol=0)


@pytest.mark.parametrize("kind", ["rectified_flow", "cnf"])
def test_what_learns_otherwise_refuses_it(kind: str) -> None:
    with pytest.raises(ValueError, match="trajectory"):
        colaflex.build("prior", kind, latent_dim=4, block_size=1, **ON)


def residual(prior: Any) -> float:
    """Mean squared distance of predictions to those at the sampler's next point, of one prior."""
    values = mixture(2000, generator(5))
    whole = LatentBatch(values, torch.ones(values.shape[:2], dtype=torch.bool))
    with torch.no_grad():
        path = prior.draw_path(whole, Noise(1), 1)
        past = prior.denoiser.past(prior.history(whole))
        predict = prior.denoiser.predictor(past, path.masks)
        point = path.point()
        clean = prior.denoiser.clean(predict(point, path.times[..., None]), point, path.times)
        target, then = later_prediction(prior.denoiser, past, path, clean, 4)
    return float(((clean - target).square().mean(-1) * (then > 0)[..., None]).mean())


def test_it_makes_predictions_hold_and_two_steps_better() -> None:
    options = {"schedule": {"loc": 0.5}, "prediction": "x0", "history_dropout": 0.0}
    consistent = {"trajectory": {"weight": 2.0, "steps": 4, "decay": 0.98}}
    plain, held = (
        fit(small_prior("flow_matching", 2, **options, **more), mixture, steps=250)
        for more in ({}, consistent)
    )
    assert residual(held) < 0.6 * residual(plain)
    truth = mixture(4000, generator(1)).flatten(1)
    before, after = (
        energy_distance(sampled(prior, 4000, steps=2).flatten(1), truth) for prior in (plain, held)
    )
    assert after < 0.8 * before
