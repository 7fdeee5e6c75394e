"""A readout whose draws take a segment's slots one after the other."""

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
from colaflex.representations.token_content import TokenSlots

WIDTH, SYMBOLS, SLOTS = 16, 5, 2


def sizes(group: int = 1) -> TokenSlots:
    return TokenSlots(SYMBOLS, SLOTS, dim=3, inner=8, group=group)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def chained(group: int = 1) -> ChainedReadout:
    """One of random weights, in double precision."""
    head = ChainedReadout(ReadoutConfig(weight=0.3), sizes(group=group), WIDTH).double()
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


def chain_logits(head: Any, states: Tensor, tokens: Tensor) -> Tensor:
    """(rows, slots, symbols), by loops: W silu(h_k + sum of C_kj e_j over j < k) + b."""
    before = head.slots(states).unflatten(-1, (SLOTS, -1))
    embedded, inner = head.embedding(tokens), head.sizes.inner
    found = []
    for slot in range(SLOTS):
        total = before[:, slot]
        for past in range(slot):
            rows, columns = (slice(k * inner, (k + 1) * inner) for k in (slot, past))
            total = total + embedded[:, past] @ head.chain.weight[rows, columns].T
        found.append(head.unembedding(nn.functional.silu(total)))
    return torch.stack(found, 1)


def test_its_loss_is_the_mean_of_slots_apart_and_in_a_chain() -> None:
    head, states = chained(), torch.randn(6, WIDTH, generator=generator(0)).double()
    tokens = torch.randint(SYMBOLS, (6, SLOTS), generator=generator(2))
    tokens[:, 0] = tokens[:, 0].clamp(max=SYMBOLS - 2)
    mean, nats = head.taught(states[:, None], tokens[:, None])
    torch.testing.assert_close(head(states[:, None]), mean)
    apart = head.logits(head.said(states[:, None]))[:, 0]
    costs = [
        -logits.log_softmax(-1).gather(-1, tokens[..., None])[..., 0].sum(-1)
        for logits in (apart, chain_logits(head, states, tokens))
    ]
    torch.testing.assert_close(nats[:, 0], (costs[0] + costs[1]) / 2)
    head.zero_grad()
    nats.sum().backward()
    # Nothing is learned of a slot from itself or from later ones.
    grad = head.chain.weight.grad
    assert grad is not None
    assert torch.equal(grad != 0, (head.later > 0) & (grad != 0)) and bool(grad.any())


def test_its_draws_have_the_chains_probabilities() -> None:
    head, rows = chained(), 20_000
    states = torch.randn(1, WIDTH, generator=generator(0)).double()
    drawn = watched(head)
    keys = SampleNoise(tuple(map(str, range(rows))))
    with torch.no_grad():
        said = head.said(states[None])
        head.drawn(said.expand(rows, 1, -1), keys, "test")
        pairs = torch.cartesian_prod(*(torch.arange(SYMBOLS) for _ in range(SLOTS)))
        logs = chain_logits(head, states.expand(len(pairs), -1), pairs).log_softmax(-1)
        law = logs.gather(-1, pairs[..., None])[..., 0].sum(-1).exp()
        greedy = head.likeliest(said)[0, 0]
    index = drawn[0][:, 0] @ torch.tensor([SYMBOLS, 1])
    counts = torch.bincount(index, minlength=len(pairs)) / rows
    # Five standard errors of each of 25 shares.
    assert bool(((counts - law).abs() < 5 * (law * (1 - law) / rows).sqrt() + 1e-4).all())
    first = chain_logits(head, states, greedy[None])[0]
    assert greedy[0] == first[0].argmax()
    assert greedy[1] in (first[1].argmax(), SYMBOLS - 1)


def test_guidance_moves_the_first_slots_logits_as_an_estimates() -> None:
    head, draws = chained(), generator(0)
    said = [head.said(torch.randn(1, 1, WIDTH, generator=draws).double()) for _ in range(2)]
    mixed = torch.lerp(*said, 3.0)
    seen: list[Tensor] = []

    def choose(logits: Tensor, slot: int) -> Tensor:
        seen.append(logits)
        return torch.zeros(logits.shape[:-1], dtype=torch.long)

    head._tokens(mixed, choose)
    apart = torch.lerp(*(head.logits(each)[..., 0, :] for each in said), 3.0)
    torch.testing.assert_close(seen[0], apart)


def test_the_likeliest_of_many_rows_are_found_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    head, states = chained(), torch.randn(7, 3, WIDTH, generator=generator(0)).double()
    said = head.said(states)
    once = head.likeliest(said)
    monkeypatch.setattr(
        "colaflex.representations.expected_embeddings.LOGITS_AT_ONCE", 3 * SYMBOLS * 2
    )
    assert torch.equal(head.likeliest(said), once)


def test_a_chain_of_one_slot_is_none() -> None:
    made = build(name="token_embedding", slots=1)
    assert type(made.readout("chained", WIDTH)) is CategoricalReadout


@pytest.mark.parametrize("embeddings", ["shared", "frozen"])
def test_it_takes_the_decoders_embeddings(embeddings: str) -> None:
    made = build(readout={"embeddings": embeddings})
    head = made.readout("chained", WIDTH).double()
    head.start()
    states = torch.randn(2, 4, WIDTH, generator=generator(0)).double()
    content = torch.zeros(2, 4, made.slots, dtype=torch.long)
    head.taught(states, content)[1].sum().backward()
    table = made.unembedding.weight.grad
    assert (table is not None and bool(table.any())) == (embeddings == "shared")


def test_a_coarse_latent_has_no_tokens() -> None:
    head, states = chained(group=2), torch.randn(3, 4, WIDTH, generator=generator(0)).double()
    content = torch.full((3, 4, SLOTS), SYMBOLS - 1)
    content[:, 1::2] = 0
    mean, nats = head.taught(states, content)
    assert bool((nats[:, ::2] == 0).all()) and bool((nats[:, 1::2] > 0).all())
    assert head.coarse is not None
    torch.testing.assert_close(mean[:, ::2], head.coarse(states[:, ::2]))
    assert bool((head.likeliest(head.said(states))[:, ::2] == SYMBOLS - 1).all())


@pytest.mark.parametrize("kind", [CategoricalReadout, ChainedReadout])
def test_only_a_chain_draws_whole_segments_from_pure_noise(kind: type[CategoricalReadout]) -> None:
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
    first, second = drawn[0][:, 0].T
    agree = float((first == second).float().mean())
    # Apart, a quarter: 2,000 draws of it have a standard error of 0.01.
    assert agree > 0.97 if kind is ChainedReadout else abs(agree - 0.25) < 0.05, agree
    # And each is as likely as the data says.
    assert torch.bincount(first, minlength=4)[:4].div(rows).sub(0.25).abs().max() < 0.08
