"""What a representation promises of what it offers priors: readouts, a reading of history."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from colaflex.interfaces.noise import SampleNoise
from colaflex.interfaces.readout import Readout
from colaflex.testing.probes import demand_close, shake
from colaflex.testing.representation_cases import SIZE, Case
from colaflex.testing.results import Fault, NotApplicable
from colaflex.testing.subject import Subject

__all__ = ()

WIDTH = 16
EXACT = 1e-9


def _content(subject: Subject) -> Tensor:
    case = Case(subject)
    content = case.shaken().content(*case.batch())
    if content.shape[:2] != (len(case.lengths), len(case.lengths[0])):
        raise Fault(f"content() is {tuple(content.shape)}, expected (batch, segments, ...)")
    return content


def _readouts(subject: Subject) -> dict[str, Readout]:
    names = subject.capabilities.readouts
    if not names:
        raise NotApplicable("it offers no readout")
    model = Case(subject).shaken()
    readouts = {name: model.readout(name, WIDTH) for name in names}
    for name, readout in readouts.items():
        if not isinstance(readout, Readout):
            raise Fault(f"readout({name!r}) is {type(readout).__name__}, no Readout")
        shared = set(readout.parameters()) & set(model.parameters())
        if shared:
            raise Fault(f"readout({name!r}) holds parameters that are the representation's")
        readout.behind(lambda latents: latents)
        readout.start()
        shake(readout.float())
        readout.double()
    return readouts


def content_own(subject: Subject) -> None:
    """What a latent stands for is told of its own segment alone."""
    if not (subject.capabilities.readouts or subject.capabilities.history):
        raise NotApplicable("it offers priors nothing")
    case, before = Case(subject), _content(subject)
    tokens, segmentation = case.batch()
    moved = tokens.tokens.clone()
    moved[:, 0] = 2 + (moved[:, 0] - 1) % (SIZE - 2)
    after = case.shaken().content(replace(tokens, tokens=moved), segmentation)
    if torch.equal(before[:, 0], after[:, 0]):
        raise Fault("content() does not change with the tokens")
    if not torch.equal(before[:, 1:], after[:, 1:]):
        raise Fault("content() of a latent changes with the tokens of another")


def readouts(subject: Subject) -> None:
    """Each readout gives latents of every state alone, taught as asked, with gradients."""
    offered, case = _readouts(subject), Case(subject)
    content, dim = _content(subject), case.fresh().latent_dim
    rows, segments = content.shape[:2]
    states = case.latents(rows, segments, WIDTH)
    for name, readout in offered.items():
        learning = states.clone().requires_grad_()
        mean, nats = readout.taught(learning, content)
        if mean.shape != (*content.shape[:2], dim):
            raise Fault(f"{name}: latents are {tuple(mean.shape)}, not (batch, segments, {dim})")
        if nats.shape != content.shape[:2]:
            raise Fault(f"{name}: the loss is {tuple(nats.shape)}, not (batch, segments)")
        if not (torch.isfinite(mean).all() and torch.isfinite(nats).all()):
            raise Fault(f"{name}: not finite")
        demand_close(readout(states), mean, EXACT, f"{name}: what is taught is not what is given")
        alone = readout(states[:1])
        demand_close(alone, mean[:1], EXACT, f"{name}: a row's latents depend on other rows")
        (mean.square().sum() + nats.sum()).backward()
        if learning.grad is None or not bool(learning.grad.any()):
            raise Fault(f"{name}: no gradient reaches the states")
        if readout.flops(2) <= 0:
            raise Fault(f"{name}: flops() is {readout.flops(2)}")
        if readout.taught_flops(1, 2) < readout.flops(2):
            raise Fault(f"{name}: taught_flops() is less than a forward pass")
        likeliest = readout.likeliest(readout.said(states))
        if likeliest is not None and likeliest.shape != content.shape:
            raise Fault(f"{name}: likeliest() is {tuple(likeliest.shape)}, unlike content()")


@torch.no_grad()
def readouts_drawn(subject: Subject) -> None:
    """Draws are keyed by their row, differ by key, and surround the expected latents."""
    case = Case(subject)
    states = case.latents(1, len(case.lengths[0]), WIDTH)
    rows, undrawn = 4000, list[str]()
    for name, readout in _readouts(subject).items():
        prediction = readout.said(states)
        keys = SampleNoise(tuple(f"row {row}" for row in range(rows)))
        try:
            drawn = readout.drawn(prediction.expand(rows, *prediction.shape[1:]), keys, "check")
        except NotImplementedError as error:
            if name not in subject.capabilities.undrawn:
                raise Fault(f"{name}: {error}, and `undrawn` does not say so") from None
            undrawn.append(str(error))
            continue
        if name in subject.capabilities.undrawn:
            raise Fault(f"{name}: estimates are drawn, where `undrawn` says they can't be")
        again = readout.drawn(prediction, SampleNoise(keys.keys[7:8]), "check")
        demand_close(again, drawn[7:8], EXACT, f"{name}: a row's draws depend on other rows")
        if not readout.unbiased:
            continue
        mean, deviation = readout.mean(prediction)[0], drawn.std(0)
        # Within five standard errors: a fair readout fails once in a million channels.
        if bool(((drawn.mean(0) - mean).abs() > 5 * deviation / rows**0.5 + 1e-6).any()):
            raise Fault(f"{name}: the mean of its draws is not the latent that it expects")
    if len(undrawn) == len(subject.capabilities.readouts):
        raise NotApplicable("; ".join(undrawn))


@torch.no_grad()
def history(subject: Subject) -> None:
    """The reading of history gives the asked width, of each latent by itself."""
    if not subject.capabilities.history:
        raise NotApplicable("it offers no reading of the history")
    content = _content(subject)
    model = Case(subject).shaken()
    reader = model.history(WIDTH)
    shake(reader)
    read = reader(content)
    if read.shape != (*content.shape[:2], WIDTH):
        raise Fault(f"history read is {tuple(read.shape)}, not (batch, segments, {WIDTH})")
    demand_close(reader(content[:, 1:2]), read[:, 1:2], 1e-5, "a latent's reading hears others")


def decoder_alone(subject: Subject) -> None:
    """The decoder's parameters all learn by what contents cost, and the encoder has none of them.

    There are none where that is not declared.
    """
    case = Case(subject)
    model = case.shaken()
    decoder = list(model.decoder_parameters())
    if not subject.capabilities.decoder_alone:
        if decoder:
            raise Fault("decoder_parameters() are some, and decoder_alone = False")
        raise NotApplicable("its decoder does not learn alone")
    if not decoder or not set(decoder) <= set(model.parameters()):
        raise Fault("decoder_parameters() are none, or not the representation's own")
    tokens, segmentation = case.batch()
    content = model.content(tokens, segmentation)
    rows, segments = segmentation.lengths.shape
    read = case.latents(rows, segments, model.latent_dim)
    costs = model.costs(read, content)
    if costs.shape != (rows, segments):
        raise Fault(f"costs() is {tuple(costs.shape)}, not (batch, segments)")
    model.requires_grad_(True)
    costs.sum().backward()
    if any(p.grad is None or not bool(p.grad.any()) for p in decoder):
        raise Fault("some of decoder_parameters() learn nothing by costs()")
    with torch.no_grad():
        before = model.encode(tokens, segmentation).mean
        for parameter in decoder:
            parameter.add_(1.0)
        after = model.encode(tokens, segmentation).mean
    demand_close(after, before, EXACT, "the encoder changes with decoder_parameters()")
