"""The adaptive law, against quadrature on points of a circle."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from circle import COSTS, ENTROPIES, ERRORS, FINE, POINTS, at
from torch import Tensor

import colaflex
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.schedule import ContentCosts, Seen
from colaflex.schedules.information import from_content, from_errors, rising

STEPS, ROWS = 2000, 256


def adaptive(latent_dim: int = 2, **options: Any) -> Any:
    settings = {"warmup": 0.0, **options}
    return colaflex.build("schedule", "adaptive", latent_dim=latent_dim, **settings)


def seen(times: Tensor, error: Tensor, nats: Tensor | None = None, **others: Any) -> Seen:
    settings: dict[str, Any] = {
        "counted": torch.ones_like(times, dtype=torch.bool),
        "weight": torch.ones_like(times),
        "clean": torch.zeros(*times.shape, 1),
        **others,
    }
    return Seen(times=times, error=error, nats=nats, **settings)


def fed(schedule: Any, errors: Tensor, nats: Tensor, steps: int = STEPS) -> Any:
    """A schedule that has seen these losses at the times that it drew, with some scatter."""
    for step in range(steps):
        noise = Noise(0, step)
        times = schedule.draw(noise, (ROWS, 1, 1), torch.zeros((), dtype=torch.float64), "times")
        scatter = noise.uniform("scatter", times.shape, times) * 2
        schedule.observe(seen(times, at(errors, times) * scatter, at(nats, times) * scatter), noise)
        schedule.stepped(step)
    return schedule


def mixed(density: Tensor, floor: float, loc: float = 1.0) -> Tensor:
    """The distribution function over the fine grid: of a density over it, and of the base law."""
    told = torch.cumulative_trapezoid(density, FINE)
    base = torch.special.ndtr(FINE - loc)
    base = (base - base[0]) / (base[-1] - base[0])
    return torch.lerp(torch.cat([told.new_zeros(1), told]) / told[-1], base, floor)


def farthest(schedule: Any, law: Tensor) -> float:
    """Largest distance of the distribution functions."""
    shares = torch.linspace(0, 1, 2001, dtype=torch.float64)[1:-1]
    logits = schedule.quantile(shares).logit()
    expected = np.interp(logits.numpy(), FINE.numpy(), law.numpy())
    return float(np.abs(expected - shares.numpy()).max())


def information(errors: Tensor) -> Tensor:
    """mmse / s² with the gate, over the fine grid."""
    noise = FINE.exp()
    told = torch.minimum(errors, noise**2) / noise**2
    below = (told < 2e-3 * told.max()) & (torch.arange(len(FINE)) < int(told.argmax()))
    cut = float(noise[below][-1]) if bool(below.any()) else 0.15
    return told * noise**3 / (noise**3 + cut**3)


def median(law: Tensor) -> float:
    return float(np.interp(0.5, law.numpy(), FINE.numpy()))


def test_the_error_tells_how_fast_entropy_falls() -> None:
    """The relation that the law from errors stands on: dH/dl = mmse / s², over all channels."""
    slope = torch.gradient(ENTROPIES, spacing=(FINE,))[0]
    inner = FINE.abs() < 5
    torch.testing.assert_close(
        slope[inner], (2 * ERRORS / FINE.exp() ** 2)[inner], atol=2e-3, rtol=0
    )
    assert float(ENTROPIES[-1]) == pytest.approx(math.log(POINTS), abs=1e-3)


@pytest.mark.parametrize("source", ["x0", "readout"])
def test_after_two_thousand_steps_the_law_is_that_of_quadrature(source: str) -> None:
    schedule = fed(adaptive(source=source), ERRORS, COSTS)
    slope = torch.gradient(COSTS, spacing=(FINE,))[0].clamp(min=0)
    law = mixed(information(ERRORS) if source == "x0" else slope, floor=0.2)
    assert farthest(schedule, law) < 0.02


def test_the_decoder_is_asked_in_its_share_of_the_steps() -> None:
    asked: list[int] = []

    def nats(latents: Tensor, content: Tensor) -> Tensor:
        asked.append(len(latents))
        assert content.shape == (ROWS, 1, 3)
        return latents[..., 0]

    schedule = adaptive(source="decoder", share=0.25)
    schedule.behind(ContentCosts(nats, lambda batch, segments: 1000 * batch * segments))
    assert schedule.needs_content
    assert schedule.flops(4, 8) == 8000
    for step in range(400):
        noise = Noise(0, step)
        times = schedule.draw(noise, (ROWS, 1, 1), torch.zeros((), dtype=torch.float64), "times")
        clean, content = at(COSTS, times)[..., None], torch.zeros(ROWS, 1, 1, 3)
        schedule.observe(seen(times, at(ERRORS, times), clean=clean, content=content), noise)
        schedule.stepped(step)
    assert len(asked) == pytest.approx(100, abs=4 * math.sqrt(400 * 0.25 * 0.75))
    slope = torch.gradient(COSTS, spacing=(FINE,))[0].clamp(min=0)
    assert farthest(schedule, mixed(slope, floor=0.2)) < 0.02


def test_channels_that_the_decoder_does_not_read_draw_the_law_of_errors_to_the_data() -> None:
    """24 normal channels beside the two: their error is s² / (1 + s²)."""
    variance = FINE.exp() ** 2
    errors = (2 * ERRORS + 24 * variance / (1 + variance)) / 26
    by_error = fed(adaptive(26, floor=0.0), errors, COSTS, steps=600)
    by_text = fed(adaptive(26, floor=0.0, source="readout"), errors, COSTS, steps=600)
    middle = torch.tensor([0.5], dtype=torch.float64)
    gap = by_text.quantile(middle).logit() - by_error.quantile(middle).logit()
    slope = torch.gradient(COSTS, spacing=(FINE,))[0].clamp(min=0)
    exact = median(mixed(slope, 0.0)) - median(mixed(information(errors), 0.0))
    assert exact > 0.5
    assert float(gap) == pytest.approx(exact, abs=0.1)


def test_normal_latents_have_the_law_of_a_closed_form() -> None:
    logits = np.linspace(-7.875, 7.875, 64)
    variance = np.exp(2 * logits)
    errors, ones = variance / (1 + variance), np.ones(64)
    noise = np.exp(logits)
    expected = 1 / (1 + variance) * noise**3 / (noise**3 + 0.15**3)
    np.testing.assert_allclose(
        from_errors(logits, errors, ones, ones), expected / expected.sum(), rtol=1e-9
    )


def test_what_the_loss_weighs_more_is_drawn_less() -> None:
    logits = np.linspace(-7.875, 7.875, 64)
    errors, ones, weights = 1 / (1 + np.exp(-2 * logits)), np.ones(64), 1 + np.exp(-logits)
    plain, weighed = (from_errors(logits, errors, ones, w) for w in (ones, weights))
    np.testing.assert_allclose(weighed * weights / plain, (weighed * weights / plain)[0])


def test_no_network_error_near_the_data_is_information() -> None:
    """An error that stays above s² is the network's own; it is none of the data's."""
    logits, ones = np.linspace(-7.875, 7.875, 64), np.ones(64)
    variance = np.exp(2 * logits)
    exact = variance / (1 + variance)
    with_floor = from_errors(logits, exact + 1e-2, ones, ones)
    assert with_floor[logits < -4].sum() < 0.01


def test_costs_that_scatter_are_made_to_rise() -> None:
    counts = np.array([1.0, 0.0, 1.0, 3.0, 1.0])
    values = np.array([1.0, 9.0, 3.0, 2.0, 5.0])
    np.testing.assert_allclose(rising(values, counts), [1.0, 1.625, 2.25, 2.25, 5.0])
    assert from_content(values, counts).sum() == pytest.approx(1.0)
    assert not from_content(np.ones(5), np.ones(5)).any()


def test_it_draws_by_its_base_before_it_has_seen_enough_and_as_long_as_it_warms_up() -> None:
    base = {"type": "tangent", "shift": 5.0}
    plain = colaflex.build("schedule", "tangent", latent_dim=2, shift=5.0)
    shares = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
    fresh = adaptive(base=base)
    below = [
        float(np.interp(float(logit), FINE.numpy(), mixed_base(5.0).numpy()))
        for logit in fresh.quantile(shares).logit()
    ]
    assert max(abs(np.array(below) - shares.numpy())) < 0.005  # evenly inside of its bins
    warm = fed(adaptive(base=base, warmup=0.5), ERRORS, COSTS, steps=100)
    like = torch.zeros((), dtype=torch.float64)
    early, late = (Noise(0, step, steps=100) for step in (49, 50))
    draws = [schedule.draw(early, (64, 1), like, "t") for schedule in (warm, plain)]
    torch.testing.assert_close(*draws)
    expected = warm.quantile(late.uniform("t", (64, 1), like))
    torch.testing.assert_close(warm.draw(late, (64, 1), like, "t"), expected)
    assert not torch.allclose(expected, plain.draw(late, (64, 1), like, "t"))


def mixed_base(shift: float) -> Tensor:
    """The distribution function of tangent times between the ends of the bins."""
    below = 2 / math.pi * torch.atan(torch.exp(FINE - math.log(shift)))
    return (below - below[0]) / (below[-1] - below[0])


def test_the_floor_is_a_share_of_the_base_law() -> None:
    half, all_base = (adaptive(floor=floor) for floor in (0.5, 1.0))
    for schedule in (half, all_base):
        fed(schedule, ERRORS, COSTS, steps=100)
    base = mixed(torch.ones_like(FINE), floor=1.0)
    assert farthest(all_base, base) < 0.01
    slope = information(ERRORS)
    assert farthest(half, mixed(slope, floor=0.5)) < 0.03


def test_rows_that_do_not_count_are_not_seen() -> None:
    schedule = adaptive()
    times = torch.full((4, 1, 2), 0.5)
    counted = torch.tensor([[[True, False]]]).expand(4, 1, 2)
    schedule.observe(seen(times, torch.ones(4, 1, 2), counted=counted), Noise(0))
    assert float(schedule.fresh[0].sum()) == 4


def test_a_law_goes_on_from_its_state_as_if_nothing_had_happened() -> None:
    whole = fed(adaptive(), ERRORS, COSTS, steps=120)
    first = fed(adaptive(), ERRORS, COSTS, steps=60)
    other = adaptive()
    other.load_state_dict({k: v.clone() for k, v in first.state_dict().items()})
    for step in range(60, 120):
        noise = Noise(0, step)
        times = other.draw(noise, (ROWS, 1, 1), torch.zeros((), dtype=torch.float64), "times")
        scatter = noise.uniform("scatter", times.shape, times) * 2
        other.observe(seen(times, at(ERRORS, times) * scatter, at(COSTS, times) * scatter), noise)
        other.stepped(step)
    for name, value in whole.state_dict().items():
        assert value.equal(other.state_dict()[name]), name


def test_phases_in_which_nothing_is_seen_forget_nothing() -> None:
    schedule = fed(adaptive(decay=0.9), ERRORS, COSTS, steps=100)
    before = {name: value.clone() for name, value in schedule.state_dict().items()}
    for step in range(100):
        schedule.stepped(step)
    assert all(value.equal(before[name]) for name, value in schedule.state_dict().items())


def test_a_base_that_follows_the_training_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="the base adaptive follows the training"):
        adaptive(base="adaptive")
