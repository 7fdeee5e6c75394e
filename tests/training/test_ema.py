"""The moving average against its closed form."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from colaflex.training.ema import Ema


def test_closed_form() -> None:
    weight = nn.Parameter(torch.zeros(3, dtype=torch.float64))
    ema = Ema({"weight": weight}, 0.5)
    expected = torch.zeros(3, dtype=torch.float64)
    for update in range(20):
        with torch.no_grad():
            weight.copy_(torch.randn(3, dtype=torch.float64))
        decay = min(0.5, (1 + update) / (10 + update))
        expected = decay * expected + (1 - decay) * weight.detach()
        ema.update()
    assert torch.allclose(ema.averages["weight"], expected, atol=1e-15)


def test_constant_decay_is_a_geometric_sum() -> None:
    weight = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    ema = Ema({"weight": weight}, 0.1)  # the warm-up begins at 0.1: never less than the decay
    values = torch.randn(12, dtype=torch.float64)
    for value in values:
        weight.data.fill_(value)
        ema.update()
    weights = 0.9 * 0.1 ** torch.arange(11, -1, -1, dtype=torch.float64)
    assert ema.averages["weight"].item() == pytest.approx((weights * values).sum().item())


def test_swapped_in_for_evaluation_and_back_bit_for_bit() -> None:
    layer = nn.Linear(4, 3)
    ema = Ema(dict(layer.named_parameters()), 0.9)
    with torch.no_grad():
        layer.weight.add_(1)
    ema.update()
    weights = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    with ema.swapped_in():
        assert torch.equal(layer.weight, ema.averages["weight"])
        assert not torch.equal(layer.weight, weights["weight"])
    assert all(torch.equal(layer.state_dict()[name], weights[name]) for name in weights)


def test_saved_and_continued() -> None:
    layer = nn.Linear(4, 3)
    ema = Ema(dict(layer.named_parameters()), 0.9)
    ema.update()
    saved = {name: tensor.clone() for name, tensor in ema.state().items()}
    other = Ema(dict(nn.Linear(4, 3).named_parameters()), 0.9)
    other.load(saved, ema.updates)
    assert other.updates == 1
    assert all(torch.equal(other.averages[name], saved[name]) for name in saved)
    other.adopt()
    assert torch.equal(other.state()["weight"], saved["weight"])
