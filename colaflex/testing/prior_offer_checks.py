"""What a prior promises that takes readouts, or a reading of history, from a representation."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from colaflex.interfaces.noise import Noise
from colaflex.interfaces.prior import Prior
from colaflex.interfaces.readout import Readout
from colaflex.interfaces.values import LatentBatch
from colaflex.testing.prior_cases import BLOCKS, DIM, ROWS, Case, batch, keys, latents
from colaflex.testing.probes import demand_close, drawn, objective, shake
from colaflex.testing.results import Fault, NotApplicable
from colaflex.testing.subject import Subject

__all__ = ()

KINDS = 5


class _Kinds(Readout):
    """Each latent stands for one of a few kinds."""

    weight = 0.1

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scores, self.lift = nn.Linear(width, KINDS), nn.Linear(KINDS, DIM)

    def said(self, states: Tensor) -> Tensor:
        scores: Tensor = self.scores(states)
        return scores

    def mean(self, said: Tensor) -> Tensor:
        lifted: Tensor = self.lift(said.softmax(-1))
        return lifted

    def taught(self, states: Tensor, content: Tensor) -> tuple[Tensor, Tensor]:
        said = self.said(states)
        return self.mean(said), -said.log_softmax(-1).gather(-1, content)[..., 0]

    def flops(self, latents: int) -> int:
        return 2 * latents * (self.scores.weight.numel() + self.lift.weight.numel())


class _History(nn.Module):
    """Reads a latent's kind."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(KINDS, width)

    def forward(self, content: Tensor) -> Tensor:
        read: Tensor = self.table(content[..., 0])
        return read


def _taking(subject: Subject, readout: bool, history: bool) -> Prior:
    prior = Case(subject).fresh(False)
    if prior.state_width < 1:
        raise Fault(f"it takes offers, and state_width is {prior.state_width}")
    prior.take(
        _Kinds(prior.state_width) if readout else None,
        _History(prior.state_width) if history else None,
    )
    shake(prior)
    if not prior.needs_content:
        raise Fault("it has taken something, and needs_content is False")
    return prior.double()


def _with_content(values: Tensor) -> LatentBatch:
    kinds = (drawn(*values.shape[:2], 1, seed=5).abs() * 3).long() % KINDS
    return replace(batch(values), content=kinds)


def takes_readout(subject: Subject) -> None:
    """A readout learns by the prior's losses and what it is taught, and is what samples go by."""
    if not subject.capabilities.readout:
        raise NotApplicable("it takes no readout")
    prior = _taking(subject, readout=True, history=False)
    data = _with_content(latents(prior))
    for phase in prior.phases():
        phase.start()
        objective(phase.losses(data, Noise(0, 1))).backward()
    head = next(part for part in prior.modules() if isinstance(part, _Kinds))
    if any(p.grad is None or not bool(p.grad.any()) for p in head.parameters()):
        raise Fault("no gradient reaches the readout's weights")
    with torch.no_grad():
        before = prior.sample_block(prior.begin(ROWS), keys(), Case(subject).options)
        head.lift.bias.add_(1.0)
        after = prior.sample_block(prior.begin(ROWS), keys(), Case(subject).options)
    if torch.equal(before, after):
        raise Fault("samples don't change with the readout")


@torch.no_grad()
def takes_history(subject: Subject) -> None:
    """History is read by content alone, and cached as computed anew, to 1e-9 in float64."""
    if not subject.capabilities.history:
        raise NotApplicable("it takes no reading of history")
    prior, case = _taking(subject, readout=False, history=True), Case(subject)
    values, block = latents(prior), prior.block_size
    content = _with_content(values).content
    assert content is not None
    parts = prior.begin(ROWS)
    for index in range(BLOCKS):
        part = slice(index * block, (index + 1) * block)
        parts = prior.commit_told(parts, values[:, part], content[:, part])
    sample = prior.sample_block(parts, keys(), case.guided)
    for which, other in (("computed anew", values), ("of other latents", values + 1)):
        state = prior.commit_told(prior.begin(ROWS), other, content)
        expected = prior.sample_block(state, keys(), case.guided)
        demand_close(sample, expected, case.tolerance, f"with a cached history, and one {which}")
    moved = prior.commit_told(prior.begin(ROWS), values, (content + 1) % KINDS)
    if torch.equal(prior.sample_block(moved, keys(), case.guided), sample):
        raise Fault("samples don't change with the history's content")


@torch.no_grad()
def one_step(subject: Subject) -> None:
    """What is expected in one step is of each row alone and of no later block; given latents stay.

    Nothing is expected where that is not declared.
    """
    prior = Case(subject).shaken()
    values, block = latents(prior), prior.block_size
    noise = Noise(3, 1, "x", 0, ROWS)
    found = prior.one_step(batch(values), noise)
    if not subject.capabilities.one_step:
        if found is not None:
            raise Fault("it tells what it expects in one step, and one_step = False")
        raise NotApplicable("it declares no expectation in one step")
    if found is None or found.shape != values.shape:
        shape = None if found is None else tuple(found.shape)
        raise Fault(f"one_step() is {shape}, not {tuple(values.shape)}")
    if prior.one_step_flops(*values.shape[:2]) <= 0:
        raise Fault("one_step_flops() counts nothing")
    alone = prior.one_step(batch(values[1:]), Noise(3, 1, "x", 1, ROWS))
    assert alone is not None
    demand_close(alone, found[1:], 1e-9, "what is expected of a row depends on other rows")
    moved = torch.cat([values[:, :-block], values[:, -block:] + 1], 1)
    later = prior.one_step(batch(moved), noise)
    assert later is not None
    what = "what is expected changes with a later block"
    demand_close(later[:, :-block], found[:, :-block], 1e-9, what)
    if torch.equal(later, found):
        raise Fault("what is expected doesn't change with the latents")
    if block > 1:
        masked = batch(values)
        masked.mask[:, 0] = False
        given = prior.one_step(masked, noise)
        assert given is not None
        if not torch.equal(given[:, 0], values[:, 0]):
            raise Fault("one_step() moves latents that are given")
