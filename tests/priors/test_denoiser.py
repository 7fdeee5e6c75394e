"""One denoiser is trained, sampled and copied, and its weights go by the names of the parts."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from random_priors import BLOCK, BLOCKS, DIM, OPTIONS, PRIORS, batch, keys, latents, shaken, total
from torch import nn
from toys import small_prior

from colaflex.interfaces.noise import Noise
from colaflex.interfaces.readout import Readout
from colaflex.priors.denoiser import Denoiser
from colaflex.priors.path import Masks, Path

PARTS = ["network", "lift", "head"]
OTHERS = {
    "hybrid": {"codebook", "code_model", "told", "question"},
    "rectified_flow": {"teacher"},
}


class Shifted(Readout):
    """A readout that is linear, and always wrong by 1."""

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, dim)

    def said(self, states: torch.Tensor) -> torch.Tensor:
        shifted: torch.Tensor = self.linear(states) + 1
        return shifted

    def mean(self, said: torch.Tensor) -> torch.Tensor:
        return said

    def flops(self, latents: int) -> int:
        return 2 * latents * self.linear.weight.numel()


def first_parts(prior: nn.Module) -> list[str]:
    names = [name.split(".")[0] for name, _ in prior.named_parameters()]
    return list(dict.fromkeys(names))


@pytest.mark.parametrize("name", [*PRIORS, "cnf"])
def test_weights_go_by_the_names_of_the_parts(name: str) -> None:
    prior = small_prior(name, DIM, BLOCK)
    own = OTHERS.get(name, set())
    assert [part for part in first_parts(prior) if part not in own] == PARTS
    assert {key.split(".")[0] for key in prior.state_dict()} == {*PARTS, *own}
    weights = {id(p) for p in prior.denoiser.parameters()}
    assert weights == {id(p) for n, p in prior.named_parameters() if n.split(".")[0] in PARTS}


def test_a_teacher_is_a_denoiser_with_the_same_parts_behind_its_name() -> None:
    options = {"self_conditioning": {"share": 0.5}}
    prior = small_prior("rectified_flow", DIM, BLOCK, **options)
    prior.take(Shifted(prior.state_width, DIM), nn.Linear(DIM, prior.state_width))
    assert first_parts(prior) == ["network", "lift", "head", "recall", "teacher", "reader"]
    own = {n for n in prior.state_dict() if not n.startswith("teacher.")}
    assert {n for n in prior.state_dict() if n.startswith("teacher.")} == {
        f"teacher.{name}" for name in own
    }
    assert isinstance(prior.teacher, Denoiser)
    assert not any(p.requires_grad for p in prior.teacher.parameters())
    assert not {id(p) for p in prior.teacher.parameters()} & {
        id(p) for p in prior.denoiser.parameters()
    }


@pytest.mark.parametrize("name", [*PRIORS, "cnf"])
def test_a_copy_has_a_denoiser_of_its_own(name: str) -> None:
    prior = shaken(name)
    other = copy.deepcopy(prior)
    assert other.denoiser.network is other.network and other.network is not prior.network
    assert other.denoiser.head is other.head
    with torch.no_grad():
        other.head.bias.add_(1.0)
    state, noise = prior.begin(5), keys()
    before = prior.sample_block(state, noise, OPTIONS)
    after = other.sample_block(other.begin(5), noise, OPTIONS)
    assert not torch.allclose(before, after)
    torch.testing.assert_close(prior.sample_block(prior.begin(5), noise, OPTIONS), before)


def test_what_a_prior_takes_is_trained_and_sampled() -> None:
    prior: Any = small_prior("flow_matching", DIM, BLOCK)
    readout = Shifted(prior.state_width, DIM)
    prior.take(readout, None)
    assert prior.head is readout and prior.denoiser.head is readout
    assert {"head.linear.weight", "head.linear.bias"} <= set(prior.state_dict())
    data = batch(latents(double=False))
    content = torch.zeros(*data.values.shape[:2], 1, dtype=torch.int64)
    data = replace(data, content=content)
    total(prior.losses(data, Noise(0))).backward()
    assert readout.linear.weight.grad is not None and bool(readout.linear.weight.grad.any())
    with torch.no_grad():
        readout.linear.weight.zero_()
        readout.linear.bias.zero_()
        # One Euler step from noise lands on what the readout says: 1 everywhere.
        block = prior.sample(2, 1)
    torch.testing.assert_close(block, torch.ones_like(block), atol=1e-4, rtol=0)


def test_masks_stand_alone_and_serve_any_path() -> None:
    counted = torch.ones(2, BLOCKS, BLOCK, dtype=torch.bool)
    masks = Masks.free(counted)
    assert not masks.pinned.any() and not masks.blind.any()
    assert masks.opening().tolist() == [[True, False, False]] * 2
    pinned = torch.arange(BLOCK).expand(2, BLOCKS, BLOCK) < 2
    both = Masks(pinned, counted & ~pinned, torch.tensor([False, True]))
    assert both.opening().tolist() == [[True, False, False], [False] * 3]
    assert torch.equal(both.repeat(3).rows(torch.tensor([4])).pinned, pinned[:1])
    assert both.repeat(3).blind.tolist() == [False, True] * 3
    data, noise = torch.randn(2, 2, BLOCKS, BLOCK, DIM, generator=torch.Generator().manual_seed(0))
    path = Path(data, noise, torch.full((2, BLOCKS), 0.25), both)
    point = path.point()
    assert torch.equal(point[pinned], data[pinned])
    torch.testing.assert_close(point[~pinned], (0.75 * data + 0.25 * noise)[~pinned])


def test_guidance_is_off_where_nothing_is_seen() -> None:
    counted = torch.ones(2, BLOCKS, BLOCK, dtype=torch.bool)
    masks = Masks(~counted, counted, torch.tensor([False, True]))
    conditional, free = torch.full((2, BLOCKS, BLOCK, 1), 3.0), torch.ones(2, BLOCKS, BLOCK, 1)
    mixed = masks.guided(conditional, free, 2.0)[..., 0, 0]
    assert mixed.tolist() == [[3.0, 5.0, 5.0], [3.0, 3.0, 3.0]]


@pytest.mark.parametrize("name", ["rectified_flow", "cnf", "consistency"])
def test_what_comes_first_is_flow_matching_by_its_own_losses_and_count(name: str) -> None:
    options = {"mode": "distillation"} if name == "consistency" else {}
    prior = shaken(name, **options)
    plain = shaken("flow_matching", schedule=prior.config.schedule.model_dump())
    for part in ("network", "lift", "head"):
        getattr(plain, part).load_state_dict(getattr(prior, part).state_dict())
    first, second = prior.phases(0.5)
    data = batch(latents())
    expected, found = plain.losses(data, Noise(3)), first.losses(data, Noise(3))
    assert list(found) == ["flow"] and list(second.losses(data, Noise(3))) != ["flow"]
    torch.testing.assert_close(found["flow"].total, expected["flow"].total)
    assert first.flops(4, BLOCK * BLOCKS) == plain.training_flops(4, BLOCK * BLOCKS)
    assert second.flops(4, BLOCK * BLOCKS) > first.flops(4, BLOCK * BLOCKS)
