from __future__ import annotations

import itertools

import pytest
import torch

import colaflex
from colaflex.interfaces.noise import Noise

pytest.importorskip("colaflex_torchcfm")


def drawn(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(*shape, generator=generator), torch.randn(*shape, generator=generator)


def pair(data: torch.Tensor, noise: torch.Tensor, **options: object) -> torch.Tensor:
    mask = torch.ones(data.shape[:2], dtype=torch.bool)
    coupling = colaflex.build("coupling", "torchcfm_ot", **options)
    return coupling.pair(data, noise, mask, Noise(0))


def test_the_exact_plan_is_the_best_of_all_permutations() -> None:
    data, noise = drawn(6, 2, 3)
    best = min(
        (data - noise[list(order)]).square().sum().item()
        for order in itertools.permutations(range(6))
    )
    assert (data - pair(data, noise)).square().sum().item() == pytest.approx(best, rel=1e-5)


def test_in_one_dimension_ranks_meet() -> None:
    data, noise = drawn(50, 1, 1)
    paired = pair(data, noise).flatten()[data.flatten().argsort()]
    torch.testing.assert_close(paired, noise.flatten().sort().values)


def test_sinkhorn_comes_near_the_exact_plan_as_its_entropy_goes() -> None:
    data, noise = drawn(64, 1, 2)
    costs = [
        (data - pair(data, noise, method="sinkhorn", regularisation=weight)).square().sum().item()
        for weight in (1.0, 0.02)
    ]
    exact = (data - pair(data, noise)).square().sum().item()
    none = (data - noise).square().sum().item()
    assert exact <= costs[1] < costs[0]
    assert costs[1] < 0.5 * none


def test_draws_are_keyed() -> None:
    data, noise = drawn(16, 1, 2)
    first, again = (pair(data, noise, method="sinkhorn") for _ in range(2))
    torch.testing.assert_close(first, again)


def test_a_prior_trains_with_it() -> None:
    network = {"type": "block_causal", "width": 16, "layers": 1, "heads": 2, "time_width": 8}
    prior = colaflex.build(
        "prior",
        "flow_matching",
        latent_dim=2,
        block_size=2,
        network=network,
        coupling="torchcfm_ot",
    )
    from colaflex.interfaces.values import LatentBatch

    batch = LatentBatch(drawn(4, 4, 2)[0], torch.ones(4, 4, dtype=torch.bool))
    loss = prior.losses(batch, Noise(0))["flow"].total
    loss.backward()
    assert loss.isfinite()
    assert prior.head.weight.grad.abs().sum() > 0
