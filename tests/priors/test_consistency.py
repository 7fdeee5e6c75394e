"""The consistency prior: its schedule, its paths, its sampler."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from random_priors import BLOCK, DIM, ROWS, batch, keys, latents, prefix, shaken
from toys import small_prior

from colaflex.interfaces.noise import Noise
from colaflex.interfaces.options import SamplingOptions


def test_the_compared_points_draw_nearer() -> None:
    prior = small_prior("consistency", DIM, doublings=3, widening=2.0)
    times = torch.tensor([[0.2, 0.9]])
    first, *_, last = (prior.earlier(times, p / 8) for p in range(9))
    deviation = times / (1 - times)
    widened = 1 + 2 / (1 + deviation.exp())
    for found, halved in ((first, 2), (last, 16)):
        earlier = deviation * (1 - widened / halved).clamp(min=0)
        torch.testing.assert_close(found / (1 - found), earlier)
    assert Noise(0, 3).progress == 1 and Noise(0, 3, steps=4).progress == 0.75


def test_the_earlier_time_at_both_ends_and_where_the_widening_reaches() -> None:
    """By hand, k = 8: 1 + 8 sigmoid(-σ) is 2 at σ = ln 7, from where on the first r is above 0."""
    prior = shaken("consistency", doublings=2, widening=8.0)
    edge = math.log(7) / (1 + math.log(7))
    times = torch.tensor([0.0, 1e-6, edge - 1e-3, edge + 1e-3, 1 - 1e-4, 1.0], dtype=torch.float64)
    for progress, share in ((0.0, 1 / 2), (0.4, 3 / 4), (1.0, 7 / 8)):
        earlier = prior.earlier(times, progress)
        assert earlier[0] == 0 and earlier[-1] == 1 and bool((earlier <= times).all())
        assert bool((earlier >= 0).all()) and bool((earlier.diff() >= 0).all())
        # Far out the ratio of the deviations is 1 - 1/2^a, so that (1 - t)/(1 - r) is as well.
        assert float((1 - times[-2]) / (1 - earlier[-2])) == pytest.approx(share, abs=1e-3)
    first = prior.earlier(times, 0.0)
    assert first[2] == 0 and 0 < first[3] < 1e-2


def test_the_last_of_its_targets_is_the_data_itself() -> None:
    # With r = 0 for all t and a wide loss, consistency is the regression of the clean latent.
    # Of the largest k, r is 0 up to t = 0.82.
    prior = shaken(
        "consistency",
        doublings=0,
        widening=100.0,
        huber_width=10.0,
        pinned_blocks=0.0,
        schedule={"loc": -1.0, "scale": 0.5},
    )
    data, noise = batch(latents()), Noise(1)
    path = prior.draw_path(data, noise, 1)
    predict = prior.denoiser.predictor(prior.denoiser.past(prior.history(data)), path.masks)
    t = path.times[..., None, None]
    end = path.point() - t * predict(path.point(), path.times[..., None])
    error = ((end - path.data).square().mean(-1) + 100).sqrt() - 10
    found = prior.losses(data, noise)["consistency"].total
    torch.testing.assert_close(found, (error * (1 / path.times - 1)[..., None]).sum())


@pytest.mark.parametrize("guidance", [1.0, 2.0])
@torch.no_grad()
def test_a_teachers_path_is_followed(guidance: float) -> None:
    # Against eight small steps by the same rule; a step of the midpoint rule errs by order three.
    options = {"mode": "distillation", "teacher_guidance": guidance, "pinned_blocks": 1.0}
    prior = shaken("consistency", **options)
    with torch.no_grad():
        prior.teacher.network.time.mlp[0].weight.zero_()
    data = batch(latents())
    path = prior.draw_path(data, Noise(2), 1)
    history, later = prior.history(data), path.times * 0.9
    once = prior._teachers_points(history, path, later)
    assert torch.equal(once[path.masks.pinned], path.data[path.masks.pinned])
    field = prior.teacher_field(history, path.masks, guidance)
    step, point = (path.times - later) / 8, path.point()
    for k in range(8):
        now = path.times - k * step
        middle = point - 0.5 * step[..., None, None] * field(now, point)
        point = point - step[..., None, None] * field(now - 0.5 * step, middle)
    moved = (point - path.point()).abs().max()
    assert (once - point).abs().max() < 0.05 * moved


@torch.no_grad()
def test_further_steps_noise_the_data_afresh() -> None:
    prior = shaken("consistency")
    state = prefix(prior, latents(), [1] * ROWS)
    field = prior.field(state)
    first, second = (
        keys().normal(name, (BLOCK, DIM), prior.lift.weight) for name in ("flow", "flow 1")
    )
    end = first - field(torch.tensor(1.0), first)
    again = 0.5 * end + 0.5 * second
    expected = again - 0.5 * field(torch.tensor(0.5), again)
    found = prior.sample_block(state, keys(), SamplingOptions(2))
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=0)
    assert prior.network_evaluations(SamplingOptions(2, 3.0)) == 4


@pytest.mark.parametrize("option", [{"teacher": "run"}, {"teacher_guidance": 2.0}])
def test_training_on_data_has_no_teacher(option: dict[str, Any]) -> None:
    with pytest.raises(Exception, match="needs mode: distillation"):
        small_prior("consistency", DIM, **option)
    prior = small_prior("consistency", DIM, BLOCK)
    assert [phase.name for phase in prior.phases()] == ["prior"]
    with pytest.raises(ValueError, match="no teacher with these options"):
        prior.adopt_teacher(small_prior("flow_matching", DIM, BLOCK))


def test_a_student_starts_as_its_teacher() -> None:
    student = small_prior("consistency", DIM, BLOCK, mode="distillation").double()
    assert [phase.name for phase in student.phases()] == ["teacher", "prior"]
    teacher = shaken("flow_matching")
    student.adopt_teacher(teacher)
    one = SamplingOptions(1)  # one Euler step of the velocity
    torch.testing.assert_close(student.sample(2, 2, one), teacher.sample(2, 2, one))
    x0 = small_prior("flow_matching", DIM, BLOCK, prediction="x0")
    with pytest.raises(ValueError, match="prediction"):
        small_prior("consistency", DIM, BLOCK, mode="distillation").adopt_teacher(x0)


def test_it_draws_its_times_evenly_unless_told_otherwise() -> None:
    """Sampling begins at t = 1: of flow matching's times one in 500 is above 0.98."""
    prior = small_prior("consistency", DIM, BLOCK)
    drawn = prior.draw_path(batch(latents(3000)), Noise(0), 1).times
    assert float((drawn > 0.98).float().mean()) == pytest.approx(0.02, abs=0.005)
    assert float(drawn.mean()) == pytest.approx(0.5, abs=0.02)
    told = small_prior("consistency", DIM, BLOCK, schedule={"loc": 2.0})
    assert (told.config.schedule.type, told.config.schedule.loc) == ("logit_normal", 2.0)
