"""Readouts that draw a block's words one after the other, through all of its segments."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from colaflex.interfaces.noise import SampleNoise
from colaflex.representations.block_recurrent_readout import BlockRecurrentReadout
from colaflex.representations.configs import ReadoutConfig
from colaflex.representations.token_content import TokenSlots

WIDTH, SYMBOLS, SLOTS, BLOCK, INNER = 16, 4, 2, 2, 8
EVERY = torch.cartesian_prod(*(torch.arange(SYMBOLS) for _ in range(BLOCK * SLOTS)))
EVERY = EVERY.unflatten(-1, (BLOCK, SLOTS))
"""Symbols in all places of a block."""
BEHIND = (EVERY == SYMBOLS - 1).cumsum(-1) > 1
ENDED = (EVERY == SYMBOLS - 1).cummax(-1).values
TEXTS = (~ENDED | (EVERY == SYMBOLS - 1)).all((1, 2))
"""Those in which nothing but ends stands behind an end."""


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def made() -> Any:
    """One of random weights, in double precision."""
    sizes = TokenSlots(SYMBOLS, SLOTS, dim=3, inner=INNER)
    head = BlockRecurrentReadout(ReadoutConfig(weight=0.3), sizes, WIDTH).double()
    for parameter in head.parameters():
        nn.init.normal_(parameter, std=0.5, generator=generator(1))
    head.context.weight.data.mul_(4)  # so that latents depend on each other
    return head


def said(head: Any) -> Tensor:
    """Of one block."""
    states = torch.randn(1, BLOCK, WIDTH, generator=generator(0)).double()
    found: Tensor = head.said(states)
    return found


@torch.no_grad()
def law(head: Any) -> Tensor:
    """Of texts; what stands behind an end is not drawn."""
    nats = head.content_nats(said(head).expand(len(EVERY), -1, -1), EVERY)
    told = torch.where(BEHIND, 0.0, nats).sum((1, 2))
    return torch.where(TEXTS, (-told).exp(), 0.0)


@torch.no_grad()
def test_the_probabilities_of_all_that_a_block_can_hold_sum_to_one() -> None:
    head = made()
    nats = head.content_nats(said(head).expand(len(EVERY), -1, -1), EVERY)
    one = torch.tensor(1.0).double()
    torch.testing.assert_close((-nats.sum((1, 2))).exp().sum(), one)
    torch.testing.assert_close(law(head).sum(), one)


def test_a_slots_context_is_made_of_all_before_it_in_its_block() -> None:
    head, draws = made(), generator(0)
    shape = (3, BLOCK, SLOTS, INNER)
    before, embedded = (torch.randn(shape, generator=draws).double() for _ in range(2))
    embedded.requires_grad_()
    contexts = head.contexts(before, embedded).flatten(1, 2).unbind(1)
    for place, context in enumerate(contexts):
        (grad,) = torch.autograd.grad(context[0].sum(), embedded, retain_graph=True)
        heard = grad.flatten(1, 2).any(-1)
        assert heard[0].tolist() == [k < place for k in range(BLOCK * SLOTS)]
        assert not heard[1:].any()


def test_its_draws_have_the_probabilities_of_the_whole_block() -> None:
    head, rows = made(), 20_000
    drawn, kept = list[Tensor](), head._tokens
    head._tokens = lambda *args: drawn.append(kept(*args)) or drawn[-1]
    keys = SampleNoise(tuple(map(str, range(rows))))
    with torch.no_grad():
        head.drawn(said(head).expand(rows, -1, -1), keys, "test")
    places = SYMBOLS ** torch.arange(BLOCK * SLOTS).flip(0)
    counts = torch.bincount(drawn[0].flatten(1) @ places, minlength=len(EVERY)) / rows
    expected = law(head)
    # Five standard errors of each of 256 shares.
    assert ((counts - expected).abs() < 5 * (expected / rows).sqrt() + 1e-4).all()
    apart = expected.view(SYMBOLS**SLOTS, -1)
    joint = apart.sum(1, keepdim=True) * apart.sum(0)
    assert float((apart - joint).abs().sum()) > 0.05


@torch.no_grad()
def test_the_likeliest_is_so_after_the_likeliest_before() -> None:
    head = made()
    content = head.likeliest(said(head))
    for index in range(BLOCK):
        for slot in range(SLOTS):
            if (content[0, index, :slot] == SYMBOLS - 1).any():
                continue  # behind a segment's end nothing is drawn
            others = content.repeat(SYMBOLS, 1, 1)
            others[:, index, slot] = torch.arange(SYMBOLS)
            nats = head.content_nats(said(head).expand(SYMBOLS, -1, -1), others)
            assert int(nats[:, index, slot].argmin()) == int(content[0, index, slot])
