"""A prior whose schedule watches it: what is shown, what it costs, and how it is saved."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from toys import chain, generator, small_prior

from colaflex.interfaces.noise import Noise
from colaflex.interfaces.values import LatentBatch
from colaflex.testing.probes import objective, shake
from colaflex.testing.toys import fit

LATENTS = LatentBatch(
    torch.randn(8, 6, 3, generator=generator(0)), torch.ones(8, 6, dtype=torch.bool)
)


def watched(schedule: Any = "adaptive", **options: Any) -> Any:
    settings = {"pinned_blocks": 0.0, "history_dropout": 0.0, "prediction": "x0", **options}
    prior = small_prior("flow_matching", 3, 2, schedule=schedule, **settings)
    shake(prior)
    return prior


def counted(prior: Any) -> tuple[float, float, float]:
    """Positions that were seen, and the means of their errors and weights."""
    count, errors, _, weights = prior.schedule.fresh.sum(1).tolist()
    return count, errors / max(count, 1), weights / max(count, 1)


def test_it_sees_the_errors_that_the_loss_is_made_of() -> None:
    prior = watched(noisings=3)
    flow = prior.losses(LATENTS, Noise(0))["flow"].total.detach()
    count, error, weight = counted(prior)
    assert (count, weight) == (3 * 8 * 6, 1.0)
    assert error == pytest.approx(float(flow) / (8 * 6), rel=1e-5)


@pytest.mark.parametrize("options", [{"prediction": "velocity"}, {"loss_space": "velocity"}])
def test_errors_come_without_their_weight_and_the_weight_apart(options: Any) -> None:
    prior = watched({"type": "adaptive", "base": {"type": "logit_normal", "scale": 0.1}}, **options)
    flow = float(prior.losses(LATENTS, Noise(0))["flow"].total.detach()) / (8 * 6)
    _, error, weight = counted(prior)
    assert weight == pytest.approx(1 / 0.73**2, rel=0.05)  # of t about sigmoid(1)
    assert error * weight == pytest.approx(flow, rel=0.05)


def test_neither_pinned_latents_nor_rows_without_history_are_shown() -> None:
    alone = watched(history_dropout=1.0)
    alone.losses(LATENTS, Noise(0))
    assert counted(alone)[0] == 0
    half = watched(history_dropout=0.5, pinned_blocks=1.0)
    half.losses(LATENTS, Noise(0))
    path = half.draw_path(LATENTS, Noise(0), 1)
    free = path.masks.counted & ~path.masks.blind[:, None, None]
    assert counted(half)[0] == int(free.sum()) < 8 * 6


def test_nothing_is_seen_where_nothing_is_learned() -> None:
    prior = watched().eval()
    prior.losses(LATENTS, Noise(0))
    assert counted(prior)[0] == 0


def test_watching_asks_the_network_nothing() -> None:
    calls: list[int] = []
    for schedule in ("logit_normal", "adaptive"):
        prior = watched(schedule)
        prior.network.register_forward_hook(lambda *_: calls.append(1))
        prior.losses(LATENTS, Noise(0))
        assert prior.matching_flops(8, 6) == watched("logit_normal").matching_flops(8, 6)
    assert len(calls) % 2 == 0
    assert calls[: len(calls) // 2] == calls[len(calls) // 2 :]


def test_training_goes_on_from_a_saved_state_exactly() -> None:
    schedule = {"type": "adaptive", "refresh": 3, "warmup": 0.2}

    def learn(prior: Any, optimizer: Any, steps: range) -> None:
        for step in steps:
            optimizer.zero_grad()
            objective(prior.losses(LATENTS, Noise(0, step, steps=12))).backward()
            optimizer.step()
            prior.stepped(step)

    whole, first, second = (watched(schedule) for _ in range(3))
    optimizers = [torch.optim.AdamW(p.parameters(), 1e-2) for p in (whole, first, second)]
    learn(whole, optimizers[0], range(12))
    learn(first, optimizers[1], range(7))
    second.load_state_dict({name: value.clone() for name, value in first.state_dict().items()})
    optimizers[2].load_state_dict(optimizers[1].state_dict())
    learn(second, optimizers[2], range(7, 12))
    start = watched(schedule).schedule.shares
    assert not second.schedule.shares.equal(start)
    for name, value in whole.state_dict().items():
        assert value.equal(second.state_dict()[name]), name


def test_a_fitted_law_moves_to_where_numbers_are_told_apart() -> None:
    """Blocks of one number: the second is known but for a deviation of 0.3."""
    schedule = {"type": "adaptive", "floor": 0.0, "warmup": 0.2, "refresh": 20, "decay": 0.98}
    prior = small_prior("flow_matching", 1, 1, schedule=schedule, prediction="x0")
    fit(prior, chain, 300, rows=64)
    shares = torch.tensor([0.05, 0.5, 0.95], dtype=torch.float64)
    low, middle, high = prior.schedule.quantile(shares).logit().tolist()
    # By mmse / s² of both blocks in closed form, and the gate near the data: -1.08 in the middle.
    assert middle == pytest.approx(-1.08, abs=0.25)
    assert low < middle - 0.8
    assert high > middle + 0.8
