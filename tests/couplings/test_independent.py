from __future__ import annotations

import torch

import colaflex
from colaflex.interfaces.noise import Noise


def test_noise_stays_as_it_was_drawn() -> None:
    data, noise = torch.randn(2, 3, 4, 5)
    mask = torch.ones(3, 4, dtype=torch.bool)
    assert colaflex.build("coupling", "independent").pair(data, noise, mask, Noise(0)) is noise


def test_blocks_and_noisings_cost_nothing() -> None:
    data, noise = torch.randn(3, 2, 4, 5), torch.randn(6, 3, 2, 4, 5)
    mask = torch.ones(3, 2, 4, dtype=torch.bool)
    assert colaflex.build("coupling", "independent").pair_all(data, noise, mask, Noise(0)) is noise
