"""Readouts that the decoder teaches: what is counted, what learns, and where samples end."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from segments import LENGTHS, SIZE, batch, build
from torch import Tensor, nn

import colaflex
from colaflex.interfaces.noise import Noise, SampleNoise
from colaflex.interfaces.options import SamplingOptions
from colaflex.interfaces.prior import Known
from colaflex.interfaces.values import LatentBatch

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


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("name", ["through_decoder", "second_head"])
def test_the_decoder_teaches_and_learns_nothing(name: str, checkpointing: bool) -> None:
    representation, readout = made(name)
    representation.decoder.gradient_checkpointing = checkpointing
    content = representation.content(*batch())
    _, nats = readout.taught(states(), content)
    with torch.no_grad():
        torch.testing.assert_close(readout.taught(states(), content)[1], nats)
    nats.sum().backward()
    assert all(p.grad is None for p in representation.parameters())
    assert all(p.grad is not None and bool(p.grad.any()) for p in readout.parameters())
    assert not set(readout.parameters()) & set(representation.parameters())


@pytest.mark.parametrize("name", ["through_decoder", "second_head"])
def test_what_is_taught_is_the_slope_of_the_decoders_costs(name: str) -> None:
    representation, readout = made(name)
    content, seen = representation.content(*batch()), states().requires_grad_()
    (found,) = torch.autograd.grad(readout.taught(seen, content)[1].sum(), seen)
    costs = readout._costs(told_latents(name, readout, seen), content)
    torch.testing.assert_close(found, torch.autograd.grad(costs.sum(), seen)[0])


def test_a_latent_feels_the_text_by_its_own_noise_alone() -> None:
    """The decoder reads a row together; a latent of weight 0 gets nothing from the others' text."""
    representation, readout = made("through_decoder")
    content, seen = representation.content(*batch()), states().requires_grad_()
    times = torch.tensor([1.0, 0.0, 0.5, 0.0], dtype=torch.float64)
    nats = readout.taught(seen, content)[1] * readout.gate(times)
    nats.sum().backward()
    assert seen.grad is not None
    assert bool((seen.grad[:, 0] == 0).all()) and bool(seen.grad[0, 1:].any(-1).all())


@pytest.mark.parametrize("name", ["through_decoder", "second_head"])
def test_its_likeliest_text_is_the_decoders(name: str) -> None:
    _, readout = made(name, group=2)
    said = readout.said(states().unflatten(1, (2, 2)))
    latents = readout.decoded(said).flatten(1, 2)
    tokens = readout._decoder.decode(raw(latents)).argmax(-1)
    ended = (tokens == SIZE).cumsum(-1) > 0
    ended[:, ::2] = True
    expected = torch.where(ended, SIZE, tokens).unflatten(1, (2, 2))
    assert torch.equal(readout.likeliest(said), expected)
    assert not bool((expected == SIZE).all())


def test_only_the_second_head_is_taught() -> None:
    representation, readout = made("second_head")
    readout.taught(states(), representation.content(*batch()))[1].sum().backward()
    taught = readout.linear.weight.grad.abs().sum(1) > 0
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
    options = {"block_size": 1, **options}
    built: Any = colaflex.build("prior", prior, latent_dim=4, network=network, **options)
    built.take(made(name)[1].float(), None)
    for parameter in built.network.parameters():
        nn.init.normal_(parameter, std=0.2, generator=torch.Generator().manual_seed(4))
    return built


@torch.no_grad()
@pytest.mark.parametrize("prior", ["flow_matching", "shortcut", "mean_flow"])
def test_samples_end_in_the_second_head_at_the_last_step(prior: str) -> None:
    """At the last step's time and points; where there is a span, at a span of 0, as it learns."""
    built = prior_with("second_head", prior)
    noise, options = SampleNoise(("a", "b")), SamplingOptions(steps=1)
    state = built.begin(2)
    points = noise.normal("flow", (1, 4), built.lift.weight)
    times = getattr(built.config, "time_scale", 1.0) * torch.eye(built.n_times)[:1, None]
    opens = torch.ones(2, dtype=torch.bool)
    said = built.head.said(built.network(built.lift(points, opens), times, state.history))
    torch.testing.assert_close(built.sample_block(state, noise, options), built.head.end(said))
    assert built.network_evaluations(options) == 2
    assert prior_with("through_decoder", prior).network_evaluations(options) == 1


@torch.no_grad()
@pytest.mark.parametrize("options", [{}, {"guidance": 2.0}, {"renoise": 0.5, "guidance": 2.0}])
def test_ends_are_guided_and_given_positions_kept(options: Any) -> None:
    built = prior_with("second_head", block_size=2)
    noise, asked = SampleNoise(("a", "b")), SamplingOptions(steps=3, **options)
    values = torch.randn(2, 2, 4, generator=torch.Generator().manual_seed(1))
    state = built.commit(built.begin(2), values)
    known = Known(values + 1, torch.tensor([[True, False], [False, False]]))
    found = built.sample_block(state, noise, asked, known)
    assert torch.equal(found[0, 0], known.values[0, 0])
    calls: list[tuple[Tensor, Tensor]] = []
    field = built.field
    built.field = lambda *given: lambda t, z: calls.append((t, z)) or field(*given)(t, z)
    built.sample_block(state, noise, asked, known)
    (time, points), g = calls[-1], asked.guidance
    times = torch.where(known.mask[..., None], 0.0, time)
    closed = torch.zeros(2, dtype=torch.bool)
    ends = [
        built.head.end(built.head.said(built.network(built.lift(points, opens), times, history)))
        for opens, history in ((closed, state.history), (None, None))
    ]
    expected = ends[0] if g == 1 else torch.lerp(ends[1], ends[0], g)
    torch.testing.assert_close(found[~known.mask], expected[~known.mask])


@torch.no_grad()
@pytest.mark.parametrize("prior", ["consistency", "cnf"])
def test_priors_that_learn_no_ends_return_what_they_found(prior: str) -> None:
    """As with a linear readout of the same weights."""
    built, plain = (prior_with(name, prior) for name in ("second_head", "through_decoder"))
    plain.head.linear.weight.copy_(built.head.linear.weight[:4])
    plain.head.linear.bias.copy_(built.head.linear.bias[:4])
    noise, options = SampleNoise(("a", "b")), SamplingOptions(steps=2)
    found = [p.sample_block(p.begin(2), noise, options) for p in (built, plain)]
    torch.testing.assert_close(*found)
    assert built.network_evaluations(options) == plain.network_evaluations(options)


def test_an_end_beside_self_conditioning_is_one_evaluation_more() -> None:
    settings = {"share": 0.5, "guidance": 2.0}
    built = prior_with("second_head", self_conditioning=settings)
    # Of four steps all but the first ask twice; then the end.
    assert built.network_evaluations(SamplingOptions(steps=4)) == 8
    assert built.network_evaluations(SamplingOptions(steps=4, guidance=2.0)) == 16


def test_a_student_learns_its_teachers_words() -> None:
    """Of reflow; the gradient reaches both heads, and a second noising has the same words."""
    built = prior_with("second_head", "rectified_flow", noisings=2, teacher_steps=2).double()
    built.phases()[1].start()
    values = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(1)).double()
    mask = torch.ones(3, 4, dtype=torch.bool)
    content = torch.zeros(3, 4, SLOTS, dtype=torch.long)
    terms = built.losses(LatentBatch(values, mask, content=content), Noise(0))
    terms["content"].total.backward()
    taught = built.head.linear.weight.grad.abs().sum(1) > 0
    assert bool(taught[4:].all()) and not bool(taught[:4].any())
