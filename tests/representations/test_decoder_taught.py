"""Readouts that the decoder teaches: what is counted, what learns, and where samples end."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from segments import LENGTHS, SIZE, batch, build
from torch import Tensor, nn

import colaflex
from colaflex.interfaces.noise import SampleNoise
from colaflex.interfaces.options import SamplingOptions

WIDTH, SLOTS = 16, 3
SHIFT, SCALE = 0.7, 2.5


def raw(latents: Tensor) -> Tensor:
    return latents / SCALE + SHIFT


def made(name: str, group: int = 1) -> tuple[Any, Any]:
    """A representation and a readout of random weights, in double precision."""
    representation = build(group=group)
    readout = representation.readout(name, WIDTH).double()
    for parameter in readout.parameters():
        nn.init.normal_(parameter, std=0.5, generator=torch.Generator().manual_seed(3))
    readout.behind(raw)
    return representation, readout


def states(seed: int = 0) -> Tensor:
    draws = torch.Generator().manual_seed(seed)
    return torch.randn(len(LENGTHS), 4, WIDTH, generator=draws, dtype=torch.float64)


def told_latents(name: str, readout: Any, seen: Tensor) -> Tensor:
    """Those that the decoder reads."""
    said = readout.said(seen)
    found: Tensor = readout.end(said) if name == "second_head" else readout.mean(said)
    return found


@pytest.mark.parametrize("name", ["through_decoder", "second_head"])
def test_its_nats_are_the_decoders_of_the_text_and_of_its_first_end(name: str) -> None:
    representation, readout = made(name)
    tokens, segmentation = batch()
    content, seen = representation.content(tokens, segmentation), states()
    mean, nats = readout.taught(seen, content)
    torch.testing.assert_close(mean, readout(seen))
    logits = representation.decode(raw(told_latents(name, readout, seen)))
    costs = -logits.detach().log_softmax(-1)
    for row, lengths in enumerate(LENGTHS):
        for place, length in enumerate(lengths):
            truth = [*content[row, place, :length].tolist(), SIZE][:SLOTS]
            expected = sum(float(costs[row, place, slot, t]) for slot, t in enumerate(truth))
            assert float(nats[row, place]) == pytest.approx(expected if length else 0.0)


@pytest.mark.parametrize("name", ["through_decoder", "second_head"])
def test_the_decoder_teaches_and_learns_nothing(name: str) -> None:
    representation, readout = made(name)
    _, nats = readout.taught(states(), representation.content(*batch()))
    nats.sum().backward()
    assert all(p.grad is None for p in representation.parameters())
    assert all(p.grad is not None and bool(p.grad.any()) for p in readout.parameters())
    assert not set(readout.parameters()) & set(representation.parameters())


def test_only_the_second_head_is_taught() -> None:
    representation, readout = made("second_head")
    readout.taught(states(), representation.content(*batch()))[1].sum().backward()
    taught = readout.heads.weight.grad.abs().sum(1) > 0
    dim = representation.latent_dim
    assert not bool(taught[:dim].any()) and bool(taught[dim:].all())


def test_the_decoder_is_heard_at_little_noise() -> None:
    times = torch.tensor([0.0, 0.25, 1.0])
    assert torch.equal(made("through_decoder")[1].gate(times), torch.tensor([1.0, 0.5625, 0.0]))
    assert torch.equal(made("second_head")[1].gate(times), torch.ones(3))


@pytest.mark.parametrize("name", ["through_decoder", "second_head"])
def test_coarse_latents_cost_nothing(name: str) -> None:
    _, readout = made(name, group=2)
    content = torch.zeros(len(LENGTHS), 4, SLOTS, dtype=torch.long)
    content[:, ::2] = SIZE
    nats = readout.taught(states(), content)[1]
    assert bool((nats[:, ::2] == 0).all()) and bool((nats[:, 1::2] > 0).all())


def test_blocks_of_a_batch_are_a_rows_segments() -> None:
    """A prior asks in blocks: (rows, blocks, block, ...)."""
    representation, readout = made("second_head")
    content, seen = representation.content(*batch()), states()
    mean, nats = readout.taught(seen, content)
    blocks = readout.taught(seen.unflatten(1, (2, 2)), content.unflatten(1, (2, 2)))
    torch.testing.assert_close(blocks[0].flatten(1, 2), mean)
    torch.testing.assert_close(blocks[1].flatten(1, 2), nats)


def prior_with(name: str, prior: str = "flow_matching", **options: Any) -> Any:
    network = {"type": "block_causal", "width": WIDTH, "layers": 1, "heads": 2, "time_width": 16}
    torch.manual_seed(0)
    built: Any = colaflex.build(
        "prior", prior, latent_dim=4, block_size=1, network=network, **options
    )
    built.take(made(name)[1].float(), None)
    for parameter in built.network.parameters():
        nn.init.normal_(parameter, std=0.2, generator=torch.Generator().manual_seed(4))
    return built


@torch.no_grad()
@pytest.mark.parametrize("prior", ["flow_matching", "consistency", "shortcut", "mean_flow"])
def test_samples_end_in_the_second_head_at_the_last_step(prior: str) -> None:
    """In one step, at the noise itself: at time 1, with the whole span where there are two."""
    built = prior_with("second_head", prior)
    noise, options = SampleNoise(("a", "b")), SamplingOptions(steps=1)
    state = built.begin(2)
    points = noise.normal("flow", (1, 4), built.lift.weight)
    scale = getattr(built.config, "time_scale", 1.0)
    times = scale * torch.ones(1, 1, built.n_times)
    opens = torch.ones(2, dtype=torch.bool)
    said = built.head.said(built.network(built.lift(points, opens), times, state.history))
    torch.testing.assert_close(built.sample_block(state, noise, options), built.head.end(said))
    assert built.network_evaluations(options) == 2
    assert prior_with("through_decoder", prior).network_evaluations(options) == 1
