"""Readouts whose draws take a segment's slots one after the other."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from segments import build
from torch import Tensor, nn

from colaflex.interfaces.noise import SampleNoise
from colaflex.representations.categorical_readout import CategoricalReadout, Choice
from colaflex.representations.chained_readout import ChainedReadout
from colaflex.representations.configs import ReadoutConfig
from colaflex.representations.recurrent_readout import RecurrentReadout
from colaflex.representations.sequential_readout import SequentialReadout
from colaflex.representations.token_content import TokenSlots

WIDTH, SYMBOLS, SLOTS = 16, 5, 3
KINDS = [ChainedReadout, RecurrentReadout]
both = pytest.mark.parametrize("kind", KINDS)
Kind = type[SequentialReadout]


def sizes(group: int = 1) -> TokenSlots:
    return TokenSlots(SYMBOLS, SLOTS, dim=3, inner=8, group=group)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def made(kind: Kind, group: int = 1) -> Any:
    """One of random weights, in double precision."""
    head = kind(ReadoutConfig(weight=0.3), sizes(group=group), WIDTH).double()
    for parameter in head.parameters():
        nn.init.normal_(parameter, std=0.5, generator=generator(1))
    return head


def watched(head: Any) -> list[Tensor]:
    """The tokens of every draw to come."""
    drawn, kept = list[Tensor](), head._tokens

    def tokens(said: Tensor, choose: Choice) -> Tensor:
        drawn.append(kept(said, choose))
        return drawn[-1]

    head._tokens = tokens
    return drawn


def logits_in_turn(head: Any, states: Tensor, tokens: Tensor) -> Tensor:
    """(rows, slots, symbols), by loops: W silu(h_k + c_k) + b."""
    before = head.slots(states).unflatten(-1, (SLOTS, -1))
    context = chained_context if isinstance(head, ChainedReadout) else recurrent_context
    found = []
    for slot in range(SLOTS):
        total = before[:, slot] + context(head, before, head.embedding(tokens), slot)
        found.append(head.unembedding(nn.functional.silu(total)))
    return torch.stack(found, 1)


def chained_context(head: Any, before: Tensor, embedded: Tensor, slot: int) -> Tensor:
    """The sum of C_kj e_j over j < k."""
    inner, total = head.sizes.inner, torch.zeros_like(before[:, 0])
    for past in range(slot):
        rows, columns = (slice(k * inner, (k + 1) * inner) for k in (slot, past))
        total = total + embedded[:, past] @ head.chain.weight[rows, columns].T
    return total


def recurrent_context(head: Any, before: Tensor, embedded: Tensor, slot: int) -> Tensor:
    """V r_k by a gated recurrent unit's equations (Cho et al., 2014; torch's variant)."""
    unit, state = head.recurrence, torch.zeros_like(before[:, 0])
    for past in range(slot):
        heard = torch.cat([embedded[:, past], before[:, past + 1]], -1)
        parts = (heard @ unit.weight_ih_l0.T + unit.bias_ih_l0).chunk(3, -1)
        held = (state @ unit.weight_hh_l0.T + unit.bias_hh_l0).chunk(3, -1)
        reset, keep = (torch.sigmoid(parts[i] + held[i]) for i in (0, 1))
        state = (1 - keep) * torch.tanh(parts[2] + reset * held[2]) + keep * state
    return state @ head.context.weight.T


@both
def test_its_loss_is_the_mean_of_slots_apart_and_in_turn(kind: Kind) -> None:
    head, states = made(kind), torch.randn(6, WIDTH, generator=generator(0)).double()
    tokens = torch.randint(SYMBOLS, (6, SLOTS), generator=generator(2))
    tokens[:, 0] = tokens[:, 0].clamp(max=SYMBOLS - 2)
    mean, nats = head.taught(states[:, None], tokens[:, None])
    torch.testing.assert_close(head(states[:, None]), mean)
    apart = head.logits(head.said(states[:, None]))[:, 0]
    costs = [
        -logits.log_softmax(-1).gather(-1, tokens[..., None])[..., 0].sum(-1)
        for logits in (apart, logits_in_turn(head, states, tokens))
    ]
    torch.testing.assert_close(nats[:, 0], (costs[0] + costs[1]) / 2)


@pytest.mark.parametrize("kind", [CategoricalReadout, *KINDS])
def test_the_probabilities_of_all_contents_sum_to_one(kind: Any) -> None:
    head, states = made(kind), torch.randn(1, 1, WIDTH, generator=generator(0)).double()
    every = torch.cartesian_prod(*(torch.arange(SYMBOLS) for _ in range(SLOTS)))[:, None]
    nats = head.content_nats(head.said(states.expand(len(every), 1, -1)), every)
    torch.testing.assert_close((-nats.sum((1, 2))).exp().sum(), torch.tensor(1.0).double())


@both
def test_a_slots_context_is_made_of_those_before(kind: Kind) -> None:
    head, draws = made(kind), generator(0)
    before, embedded = (torch.randn(2, SLOTS, 8, generator=draws).double() for _ in range(2))
    embedded.requires_grad_()
    for slot, context in enumerate(head.contexts(before, embedded).unbind(1)):
        (grad,) = torch.autograd.grad(context.sum(), embedded, retain_graph=True)
        assert grad.any(-1).any(0).tolist() == [k < slot for k in range(SLOTS)]


def test_nothing_is_learned_by_a_chain_from_a_slot_itself_or_later_ones() -> None:
    head, states = made(ChainedReadout), torch.randn(6, 1, WIDTH, generator=generator(0)).double()
    head.taught(states, torch.ones(6, 1, SLOTS, dtype=torch.long))[1].sum().backward()
    grad = head.chain.weight.grad
    assert torch.equal(grad != 0, (head.later > 0) & (grad != 0)) and bool(grad.any())


@both
def test_its_draws_have_the_probabilities_of_slots_in_turn(kind: Kind) -> None:
    head, rows = made(kind), 20_000
    states = torch.randn(1, WIDTH, generator=generator(0)).double()
    drawn = watched(head)
    keys = SampleNoise(tuple(map(str, range(rows))))
    with torch.no_grad():
        said = head.said(states[None])
        head.drawn(said.expand(rows, 1, -1), keys, "test")
        pairs = torch.cartesian_prod(*(torch.arange(SYMBOLS) for _ in range(SLOTS)))
        logs = logits_in_turn(head, states.expand(len(pairs), -1), pairs).log_softmax(-1)
        law = logs.gather(-1, pairs[..., None])[..., 0].sum(-1).exp()
        greedy = head.likeliest(said)[0, 0]
    index = drawn[0][:, 0] @ torch.tensor([SYMBOLS**2, SYMBOLS, 1])
    counts = torch.bincount(index, minlength=len(pairs)) / rows
    # Five standard errors of each of 125 shares.
    assert bool(((counts - law).abs() < 5 * (law * (1 - law) / rows).sqrt() + 1e-4).all())
    first = logits_in_turn(head, states, greedy[None])[0]
    assert greedy[0] == first[0].argmax()
    assert greedy[1] in (first[1].argmax(), SYMBOLS - 1)


@pytest.mark.parametrize("kind", [CategoricalReadout, *KINDS])
def test_a_temperature_takes_the_power_of_what_was_said(kind: Any) -> None:
    head, rows = made(kind), 20_000
    drawn = watched(head)
    keys = SampleNoise(tuple(map(str, range(rows))))
    with torch.no_grad():
        said = head.said(torch.randn(1, 1, WIDTH, generator=generator(0)).double())
        law = (2 * head.logits(said)[0, 0, 0]).softmax(-1)
        head.drawn(said.expand(rows, 1, -1), keys, "test", temperature=0.5)
        counts = torch.bincount(drawn[0][:, 0, 0], minlength=SYMBOLS) / rows
        assert bool(((counts - law).abs() < 5 * (law * (1 - law) / rows).sqrt() + 1e-4).all())
        cold = head.drawn(said, SampleNoise(("0",)), "test", temperature=0.0)
        head.likeliest(said)
        assert torch.equal(drawn[1], drawn[2])
        assert cold.shape == (1, 1, 3)


def test_the_latents_of_the_true_tokens_are_learned_as_a_drawn_estimate_has_them() -> None:
    head = made(RecurrentReadout, group=2)
    drawn, draws = watched(head), generator(0)
    said = head.said(torch.randn(5, 4, WIDTH, generator=draws).double())
    latents = head.drawn(said, SampleNoise(tuple("abcde")), "test")
    clean = torch.randn(5, 4, 3, generator=draws).double()
    content = drawn[0].clamp(max=SYMBOLS - 2)
    same = (content == drawn[0]).all(-1)
    content[:, ::2] = SYMBOLS - 1  # coarse
    error = head.draw_error(content, clean)
    wanted = (latents - clean).square().mean(-1)
    fine = same.clone()
    fine[:, ::2] = False
    torch.testing.assert_close(error[fine], wanted[fine])
    assert bool(fine.any()) and not bool(error[:, ::2].any())


@both
def test_guidance_moves_the_first_slots_logits_as_an_estimates(kind: Kind) -> None:
    head, draws = made(kind), generator(0)
    said = [head.said(torch.randn(1, 1, WIDTH, generator=draws).double()) for _ in range(2)]
    mixed = torch.lerp(*said, 3.0)
    seen: list[Tensor] = []

    def choose(logits: Tensor, slot: int, latents: slice) -> Tensor:
        seen.append(logits)
        return torch.zeros(logits.shape[:-1], dtype=torch.long)

    head._tokens(mixed, choose)
    apart = torch.lerp(*(head.logits(each)[..., 0, :] for each in said), 3.0)
    torch.testing.assert_close(seen[0], apart)


@both
def test_the_likeliest_of_many_rows_are_found_in_parts(
    monkeypatch: pytest.MonkeyPatch, kind: Kind
) -> None:
    head, states = made(kind), torch.randn(7, 3, WIDTH, generator=generator(0)).double()
    said = head.said(states)
    once = head.likeliest(said)
    monkeypatch.setattr(
        "colaflex.representations.expected_embeddings.LOGITS_AT_ONCE", 3 * SYMBOLS * SLOTS
    )
    assert torch.equal(head.likeliest(said), once)


def test_a_chain_of_one_slot_is_none() -> None:
    text = build(name="token_embedding", slots=1)
    for name in ("chained", "recurrent"):
        assert type(text.readout(name, WIDTH)) is CategoricalReadout


@pytest.mark.parametrize("embeddings", ["shared", "frozen"])
@pytest.mark.parametrize("name", ["chained", "recurrent"])
def test_it_takes_the_decoders_embeddings(embeddings: str, name: str) -> None:
    text = build(readout={"embeddings": embeddings})
    head = text.readout(name, WIDTH).double()
    head.start()
    states = torch.randn(2, 4, WIDTH, generator=generator(0)).double()
    content = torch.zeros(2, 4, text.slots, dtype=torch.long)
    head.taught(states, content)[1].sum().backward()
    table = text.unembedding.weight.grad
    assert (table is not None and bool(table.any())) == (embeddings == "shared")


@both
def test_a_coarse_latent_has_no_tokens(kind: Kind) -> None:
    head, states = made(kind, group=2), torch.randn(3, 4, WIDTH, generator=generator(0)).double()
    content = torch.full((3, 4, SLOTS), SYMBOLS - 1)
    content[:, 1::2] = 0
    mean, nats = head.taught(states, content)
    assert bool((nats[:, ::2] == 0).all()) and bool((nats[:, 1::2] > 0).all())
    assert head.coarse is not None
    torch.testing.assert_close(mean[:, ::2], head.coarse(states[:, ::2]))
    assert bool((head.likeliest(head.said(states))[:, ::2] == SYMBOLS - 1).all())


@pytest.mark.parametrize("kind", [CategoricalReadout, *KINDS])
def test_only_slots_in_turn_give_whole_segments_from_pure_noise(
    kind: type[CategoricalReadout],
) -> None:
    """Segments (0 0), (1 1), (2 2), (3 3), and states that tell nothing of which."""
    torch.manual_seed(0)
    head, rows = kind(ReadoutConfig(), sizes(), WIDTH), 2000
    states = torch.ones(1, 1, WIDTH).expand(256, 1, WIDTH)
    optimizer, draws = torch.optim.Adam(head.parameters(), 1e-2), generator(1)
    for _ in range(300):
        tokens = torch.randint(SYMBOLS - 1, (256, 1, 1), generator=draws).expand(-1, -1, SLOTS)
        optimizer.zero_grad()
        head.taught(states, tokens)[1].mean().backward()
        optimizer.step()
    drawn = watched(head)
    with torch.no_grad():
        said = head.said(states[:1]).expand(rows, 1, -1)
        head.drawn(said, SampleNoise(tuple(map(str, range(rows)))), "test")
    first, second, _ = drawn[0][:, 0].T
    agree = float((first == second).float().mean())
    # Apart, a quarter: 2,000 draws of it have a standard error of 0.01.
    assert agree > 0.97 if kind in KINDS else abs(agree - 0.25) < 0.05, agree
    # And each is as likely as the data says.
    assert torch.bincount(first, minlength=4)[:4].div(rows).sub(0.25).abs().max() < 0.08
