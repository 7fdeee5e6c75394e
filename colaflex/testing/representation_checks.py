"""What a representation promises of its encoder and decoder."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from colaflex.interfaces.representation import Representation
from colaflex.interfaces.values import Posterior, Segmentation, TokenBatch
from colaflex.testing.probes import demand_close, drawn, gap
from colaflex.testing.representation_cases import SIZE, VOCABULARY, Case
from colaflex.testing.results import Fault, NotApplicable
from colaflex.testing.subject import Subject

__all__ = ["EXACT", "demand_piecewise"]

EXACT = 1e-9


@torch.no_grad()
def shapes(subject: Subject) -> None:
    """A latent a segment, and logits of every slot with the end of the segment last."""
    case = Case(subject)
    model = case.fresh()
    tokens, segmentation = case.batch()
    rows, segments = segmentation.lengths.shape
    original = tokens.tokens.clone()
    posterior = model.encode(tokens, segmentation)
    mean_shape = (rows, segments, model.latent_dim)
    if posterior.mean.shape != mean_shape:
        raise Fault(f"the posterior's mean is {tuple(posterior.mean.shape)}, not {mean_shape}")
    logits = model.decode(posterior.mode())
    expected = (rows, segments, case.slots, SIZE + 1)
    if logits.shape != expected:
        raise Fault(f"logits are {tuple(logits.shape)}, not {expected}")
    if model.slots != case.slots or model.end_of_segment != SIZE:
        raise Fault(f"slots = {model.slots}, end_of_segment = {model.end_of_segment}")
    declared = getattr(subject.config, "latent_dim", model.latent_dim)
    if model.latent_dim != declared:
        raise Fault(f"latent_dim is {model.latent_dim}, the config's is {declared}")
    if not torch.equal(original, tokens.tokens):
        raise Fault("encode() changes the tokens that it is given")


@torch.no_grad()
def posterior(subject: Subject) -> None:
    """The posterior is Gaussian where a density is declared, finite, and its KL not negative."""
    case = Case(subject)
    tokens, segmentation = case.batch()
    for model in (case.fresh(), case.shaken()):
        law: Posterior = model.encode(tokens, segmentation)
        dense = law.log_variance is not None
        if dense != subject.capabilities.continuous_density:
            declared = subject.capabilities.continuous_density
            raise Fault(
                f"continuous_density = {declared}, and the posterior has "
                f"{'a' if dense else 'no'} variance"
            )
        if not torch.isfinite(law.mean[segmentation.mask]).all():
            raise Fault("a posterior's mean is not finite")
        if dense:
            divergence = law.kl()[segmentation.mask]
            if not torch.isfinite(divergence).all() or float(divergence.min()) < -1e-9:
                raise Fault(f"KL(q || N(0, I)) is {float(divergence.min()):.3g}")


def causal(subject: Subject) -> None:
    """Later tokens never touch the posteriors and logits of earlier blocks.

    A block is a segment, unless the component declares itself block-causal.
    """
    if subject.capabilities.causality == "bidirectional":
        raise NotApplicable("it declares itself bidirectional")
    case, block = Case(subject), subject.capabilities.block_size
    tokens, segmentation = case.batch()
    starts = segmentation.lengths.cumsum(1) - segmentation.lengths
    for learning in (True, False):
        model = case.shaken().requires_grad_(learning)  # attention differs where gradients flow
        before = model.encode(tokens, segmentation).mean
        logits = model.decode(before)
        for segment in range(1, segmentation.lengths.shape[1]):
            late = torch.arange(tokens.tokens.shape[1]) >= starts[:, segment, None]
            moved = torch.where(late, (tokens.tokens + 5) % SIZE, tokens.tokens)
            other = TokenBatch(moved, tokens.lengths, tokens.complete)
            after = model.encode(other, segmentation).mean
            blind = segment // block * block
            what = f"latents before segment {blind} change with tokens from segment {segment} on"
            demand_close(after[:, :blind], before[:, :blind], EXACT, what)
            other_latents = before + drawn(*before.shape)
            shifted = torch.cat([before[:, :segment], other_latents[:, segment:]], 1)
            what = f"logits before segment {segment} change with latents from it on"
            demand_close(model.decode(shifted)[:, :segment], logits[:, :segment], EXACT, what)


@torch.no_grad()
def forced(subject: Subject) -> None:
    """Before a forced boundary, latents are those of a text that ends there: a prompt's."""
    if subject.capabilities.causality == "bidirectional":
        raise NotApplicable("it declares itself bidirectional")
    case = Case(subject)
    model = case.shaken()
    tokens, segmentation = case.batch([case.lengths[0]])
    starts = segmentation.lengths.cumsum(1) - segmentation.lengths
    for segment in range(1, segmentation.lengths.shape[1]):
        end = int(starts[0, segment])
        boundary = torch.arange(tokens.tokens.shape[1])[None] == end
        whole = replace(tokens, forced=boundary)
        prompt = TokenBatch(tokens.tokens[:, :end], torch.tensor([end]), tokens.complete & False)
        cut = Segmentation(segmentation.lengths[:, :segment])
        means = model.encode(whole, segmentation).mean[:, :segment]
        what = f"latents of a prompt of {segment} segments, and of as many before the boundary"
        demand_close(means, model.encode(prompt, cut).mean, EXACT, what)


@torch.no_grad()
def informed(subject: Subject) -> None:
    """A segment's latent depends on its own tokens, and its logits on its own latent."""
    case = Case(subject)
    model = case.shaken()
    tokens, segmentation = case.batch()
    before = model.encode(tokens, segmentation).mean
    moved = TokenBatch((tokens.tokens - 1) % (SIZE - 2) + 2, tokens.lengths, tokens.complete)
    after = model.encode(moved, segmentation).mean
    if bool(((before - after).abs().amax(-1) < 1e-9)[segmentation.mask].any()):
        raise Fault("a latent doesn't change with its segment's tokens")
    if gap(model.decode(before), model.decode(before + drawn(*before.shape))) < 1e-9:
        raise Fault("logits don't change with the latents")


@torch.no_grad()
def segmentwise(subject: Subject) -> None:
    """Where it says so, a posterior doesn't change with the segments around its own."""
    case = Case(subject)
    model = case.shaken()
    if not model.segmentwise:
        raise NotApplicable("its posteriors are of more than their own segments")
    tokens, segmentation = case.batch()
    before = model.encode(tokens, segmentation).mean
    first = torch.arange(tokens.tokens.shape[1]) < segmentation.lengths[:, :1]
    moved = torch.where(first, (tokens.tokens - 1) % (SIZE - 2) + 2, tokens.tokens)
    after = model.encode(TokenBatch(moved, tokens.lengths, tokens.complete), segmentation).mean
    what = "latents behind the first segment change with its tokens"
    demand_close(after[:, 1:], before[:, 1:], EXACT, what)


@torch.no_grad()
def batch_independent(subject: Subject) -> None:
    """A row is the same alone and among others, whatever its padding holds."""
    case = Case(subject)
    model = case.shaken()
    tokens, segmentation = case.batch()
    together = model.encode(tokens, segmentation).mean
    logits = model.decode(together)
    for row, length in enumerate(tokens.lengths.tolist()):
        count = int(segmentation.count[row])
        alone = TokenBatch(
            tokens.tokens[row : row + 1, :length],
            tokens.lengths[row : row + 1],
            tokens.complete[:1],
        )
        own = model.encode(alone, Segmentation(segmentation.lengths[row : row + 1, :count])).mean
        demand_close(own[0], together[row, :count], EXACT, f"latents of row {row} alone")
        demand_close(model.decode(own)[0], logits[row, :count], EXACT, f"logits of row {row} alone")
    filled = torch.where(tokens.mask, tokens.tokens, VOCABULARY.mask)
    other = model.encode(TokenBatch(filled, tokens.lengths, tokens.complete), segmentation).mean
    mask = segmentation.mask
    demand_close(other[mask], together[mask], EXACT, "latents change with the padding's tokens")


def demand_piecewise(model: Representation, latents: Tensor, tolerance: float) -> None:
    """Fault unless rows that advance by different amounts decode as at once."""
    whole = model.decode(latents)
    pieces = [[2, 0, 1], [0, 3, 1], [1, 1, 1], [3, 0, 4], [1, 3, 0]]
    state, done = model.begin_decoding(3), [0, 0, 0]
    for number, counts in enumerate(pieces):
        piece = torch.full((3, max(counts), latents.shape[-1]), 9.0, dtype=latents.dtype)
        for row, count in enumerate(counts):
            piece[row, :count] = latents[row, done[row] : done[row] + count]
        logits, following = model.decode_next(piece, state, torch.tensor(counts))
        again, _ = model.decode_next(piece, state, torch.tensor(counts))
        for row, count in enumerate(counts):
            what = "a decoder state is changed by decoding from it"
            demand_close(again[row, :count], logits[row, :count], tolerance, what)
            expected = whole[row, done[row] : done[row] + count]
            what = "logits piece by piece and at once"
            demand_close(logits[row, :count], expected, tolerance, what)
            done[row] += count
        if number % 2:
            following = model.continue_decoding(piece, state, torch.tensor(counts))
        state = following


@torch.no_grad()
def incremental(subject: Subject) -> None:
    """Decoded piece by piece equals decoded at once; states stay as they were."""
    case = Case(subject)
    for double, tolerance in ((True, EXACT), (False, 1e-5)):
        model = case.shaken(double)
        latents = case.latents(3, 7, model.latent_dim)
        demand_piecewise(model, latents if double else latents.float(), tolerance)


@torch.no_grad()
def select(subject: Subject) -> None:
    """The decoder state of some of the rows goes on as theirs alone."""
    case = Case(subject)
    model = case.shaken()
    latents = case.latents(3, 5, model.latent_dim)
    whole = model.decode(latents)
    _, state = model.decode_next(latents[:, :3], model.begin_decoding(3))
    order = torch.tensor([2, 0])
    logits, _ = model.decode_next(latents[order, 3:], model.select_decoding(state, order))
    demand_close(logits, whole[order, 3:], EXACT, "rows chosen and put in order")


@torch.no_grad()
def in_turn(subject: Subject) -> None:
    """Where slots are told in turn, each hears the tokens before it, and those alone."""
    case = Case(subject)
    model = case.shaken()
    if not model.in_turn:
        raise NotApplicable("it tells the slots of a segment apart")
    if case.slots == 1:
        raise NotApplicable("its segments have one slot")
    latents, heard = case.latents(3, 4, model.latent_dim), []

    def choose(logits: Tensor, slot: int) -> Tensor:
        heard.append(logits)
        return (logits + drawn(*logits.shape)).argmax(-1)

    tokens, _ = model.tell_next(latents, model.begin_decoding(3), choose)
    told, logits = model.told(latents, tokens), torch.stack(heard, 2)
    demand_close(told, logits, EXACT, "logits of a text at once, and as it was chosen")
    for slot in range(case.slots):
        moved = tokens.clone()
        moved[..., slot] = 2 + (moved[..., slot] - 1) % (SIZE - 2)
        other = model.told(latents, moved)
        what = f"logits up to slot {slot} change with the token there"
        demand_close(other[:, :, : slot + 1], told[:, :, : slot + 1], EXACT, what)
        if slot + 1 < case.slots and gap(other[:, :, slot + 1], told[:, :, slot + 1]) < 1e-9:
            raise Fault(f"logits of slot {slot + 1} don't change with the token before")
