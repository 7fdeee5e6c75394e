"""What priors on paths expect of latents in one step: where they look, and how that is read.

A new denoiser says that nothing moves, so that it expects of z_t = (1 - t) z0 + t eps that point.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import colaflex
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.prior import Prior
from colaflex.interfaces.values import LatentBatch, Vocabulary

DIM, ROWS, SEGMENTS = 4, 500, 8
NETWORK = {"type": "block_causal", "width": 16, "layers": 1, "heads": 2, "time_width": 8}
DATA = torch.randn(ROWS, SEGMENTS, DIM, generator=torch.manual_seed(0))


def new(name: str = "flow_matching", **options: Any) -> Prior:
    torch.manual_seed(0)
    built: Prior = colaflex.build(
        "prior", name, latent_dim=DIM, block_size=2, network=NETWORK, **options
    )
    return built


def expected(prior: Prior, content: Tensor | None = None) -> Tensor:
    latents = LatentBatch(DATA, torch.ones(DATA.shape[:2], dtype=torch.bool), content=content)
    found = prior.one_step(latents, Noise(1, 0, "one step", 0, ROWS))
    assert found is not None
    return found


def moments(found: Tensor) -> tuple[float, float]:
    """Of z_t with independent z0 and eps of mean square 1: E[1 - t], and E[(1 - t)² + t²]."""
    return float((found * DATA).mean()), float(found.square().mean())


@pytest.mark.parametrize("name", ["flow_matching", "shortcut", "consistency"])
def test_looks_are_at_noise_by_the_law_of_the_training(name: str) -> None:
    assert moments(expected(new(name, schedule="uniform"))) == pytest.approx(
        (1 / 2, 2 / 3), abs=0.03
    )
    near = {"type": "logit_normal", "loc": -6.0, "scale": 0.1}
    assert torch.allclose(expected(new(name, schedule=near)), DATA, atol=0.03)


def test_after_reflow_they_are_by_its_law() -> None:
    far = {"type": "logit_normal", "loc": 6.0, "scale": 0.1}
    prior = new("rectified_flow", schedule=far, reflow_schedule="uniform")
    assert moments(expected(prior)) == pytest.approx((1 / 2, 2 / 3), abs=0.03)


def test_clean_latents_that_are_predicted_are_what_is_expected() -> None:
    assert torch.equal(expected(new(prediction="x0")), torch.zeros_like(DATA))


def test_the_network_reads_no_estimate_of_its_own() -> None:
    plain, reading = new(), new(self_conditioning={"share": 0.5})
    reading.load_state_dict(plain.state_dict(), strict=False)
    for prior in (plain, reading):
        torch.nn.init.normal_(prior.head.weight, generator=torch.manual_seed(1))  # type: ignore
    torch.nn.init.normal_(reading.recall.linear.weight)  # type: ignore
    assert torch.equal(expected(plain), expected(reading))


def test_rows_are_never_blind_nor_given_by_chance() -> None:
    assert torch.equal(
        expected(new(history_dropout=1.0, pinned_blocks=1.0)), expected(new(pinned_blocks=0.0))
    )


@pytest.mark.parametrize(("name", "part"), [("flow_matching", 1), ("consistency", 0)])
def test_of_a_readout_with_ends_apart_these_are_expected_where_it_learns_them(
    name: str, part: int
) -> None:
    sizes = {"vocabulary": Vocabulary(20, 0, 1), "max_segment_tokens": 2}
    text = colaflex.build("representation", "text_ae", latent_dim=DIM, **sizes)
    prior = new(name, schedule={"type": "logit_normal", "loc": 0.0, "scale": 0.5})
    readout = text.readout("second_head", prior.state_width)
    prior.take(readout, None)
    readout.linear.bias.data[:] = torch.tensor([2.0, 3.0]).repeat_interleave(DIM)
    found = expected(prior, torch.zeros(ROWS, SEGMENTS, 2, dtype=torch.int64))
    assert torch.allclose(found, torch.full_like(found, 2.0 + part), atol=1e-4)


def test_others_expect_nothing() -> None:
    for name in ("gaussian", "hybrid", "normalizing_flow"):
        options = {"network": NETWORK} if name == "hybrid" else {}
        prior = colaflex.build("prior", name, latent_dim=DIM, block_size=2, **options)
        latents = LatentBatch(DATA, torch.ones(DATA.shape[:2], dtype=torch.bool))
        assert prior.one_step(latents, Noise(1)) is None
