"""What a representation that reads two levels of segments promises of them."""

from __future__ import annotations

import torch
from torch import Tensor

from colaflex.interfaces.levels import levelled, spread
from colaflex.interfaces.representation import Representation
from colaflex.interfaces.values import Segmentation, TokenBatch
from colaflex.testing.probes import demand_close, demand_gradients, objective, shake
from colaflex.testing.representation_cases import SIZE, VOCABULARY, Case
from colaflex.testing.representation_checks import EXACT, demand_piecewise
from colaflex.testing.results import Fault, NotApplicable
from colaflex.testing.subject import Subject

__all__ = ()

GROUP = 3


def _representation(subject: Subject, double: bool = True) -> Representation:
    if subject.capabilities.levels < 2:
        raise NotApplicable("it reads segments of one level")
    slots = Case(subject).slots
    model: Representation = subject.build(
        vocabulary=VOCABULARY, max_segment_tokens=slots, group=GROUP
    )
    shake(model.float())
    return model.double() if double else model


def _batch(subject: Subject, forced: int | None = None) -> tuple[TokenBatch, Segmentation]:
    """Four fine segments a row at most, and their coarse ones before the first and third."""
    tokens, fine = Case(subject).batch()
    both = levelled(spread(fine.lengths, GROUP), GROUP)
    marks = torch.zeros_like(tokens.tokens, dtype=torch.bool)
    if forced is not None:
        marks[:, forced] = True
    return TokenBatch(tokens.tokens, tokens.lengths, tokens.complete, marks), both


@torch.no_grad()
def level_causal(subject: Subject) -> None:
    """No latent knows what lies behind its group, or behind a boundary forced within."""
    model, size = _representation(subject), Case(subject).slots
    for forced, places in ((None, GROUP), (size, GROUP - 1)):
        tokens, both = _batch(subject, forced)
        start = int(both.lengths[0, :places].sum())
        moved = tokens.tokens.clone()
        moved[0, start:] = (moved[0, start:] + 5) % SIZE
        other = TokenBatch(moved, tokens.lengths, tokens.complete, tokens.forced)
        before, after = (model.encode(batch, both).mean for batch in (tokens, other))
        where = "their group" if forced is None else "a forced boundary"
        what = f"latents change with tokens behind {where}"
        demand_close(after[0, :places], before[0, :places], EXACT, what)


@torch.no_grad()
def level_informed(subject: Subject) -> None:
    """A coarse latent depends on every fine segment of its group."""
    model = _representation(subject)
    tokens, both = _batch(subject)
    before, at = model.encode(tokens, both).mean, 0
    for place in range(1, GROUP):
        moved = tokens.tokens.clone()
        moved[0, at] = (moved[0, at] - 1) % (SIZE - 2) + 2
        other = TokenBatch(moved, tokens.lengths, tokens.complete, tokens.forced)
        if bool((model.encode(other, both).mean[0, 0] - before[0, 0]).abs().max() < EXACT):
            raise Fault(f"the coarse latent doesn't change with fine segment {place} of its group")
        at += int(both.lengths[0, place])


@torch.no_grad()
def level_incremental(subject: Subject) -> None:
    """Decoded piece by piece equals decoded at once, wherever in a group a piece begins."""
    model = _representation(subject)
    demand_piecewise(model, Case(subject).latents(3, 7, model.latent_dim), EXACT)


def level_gradients(subject: Subject) -> None:
    """With two levels, every weight that learns gets a finite gradient that is not zero."""
    model = _representation(subject, double=False)
    tokens, both = _batch(subject)

    def loss(step: int) -> Tensor:
        return objective(model.losses(tokens, both, Case(subject).noise(step)).losses) / 20

    demand_gradients(model, [p for p in model.parameters() if p.requires_grad], loss)
