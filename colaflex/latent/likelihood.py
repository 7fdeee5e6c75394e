"""The likelihood of text under a latent model: a lower bound, from samples of the posterior.

With z drawn from q(z | x), log p(x) is bounded by the mean of

    log w = log p(x | z) + log p(z) - log q(z | x),

which is the evidence lower bound; the log of the mean of w over many draws tends to log p(x).

References:
    Auto-Encoding Variational Bayes (Kingma and Welling, 2013), https://arxiv.org/abs/1312.6114;
    Importance Weighted Autoencoders (Burda et al., 2015), https://arxiv.org/abs/1509.00519.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from colaflex.interfaces.noise import Noise, generator_for
from colaflex.interfaces.values import LatentBatch, Posterior, Segmentation, TokenBatch
from colaflex.latent.model import LatentModel
from colaflex.latent.whole_blocks import completed

__all__ = ["SAMPLES", "content_log_weights", "density_change", "log_weights"]

SAMPLES = 4
"""Draws from the posterior behind a bound."""

TOKENS_AT_ONCE = 4096
"""Tokens of all draws that are decoded together."""


@torch.no_grad()
def log_weights(model: LatentModel, batch: TokenBatch, samples: int = SAMPLES) -> Tensor | None:
    """(samples, batch) log w of every row in nats, float64; None where q has no density.

    Rows are completed to whole blocks with end-of-text, as training has them, and the latents of
    all blocks count. So do the tokens of the row, and the end of every segment that is shorter than
    it might be, but not the tokens that complete the row: a sample's are discarded. The segments
    are those that the segmenter cuts; that other ones could hold the same text keeps it a bound.

    All densities are of normalised latents. What is drawn depends on the row alone.
    """
    whole = _whole_blocks(model, batch)
    segmentation = model.segment(whole)
    posterior = model.representation.encode(whole, segmentation)
    if posterior.log_variance is None:
        return None
    target, counted = _targets(model, batch, whole, segmentation)
    noise = _noise(whole, segmentation, posterior, samples)
    content, representation = model.content(whole, segmentation), model.representation
    truth = representation.content(whole, segmentation) if representation.in_turn else None
    at_once = max(1, TOKENS_AT_ONCE // whole.tokens.numel())
    drawn = []
    for part in noise.split(at_once):
        sample, many = posterior.sample(part).flatten(0, 1), len(part)
        mask, level, held, text = (
            None if each is None else each.repeat(many, *(1 for _ in each.shape[1:]))
            for each in (segmentation.mask, segmentation.level, content, truth)
        )
        assert mask is not None
        latents = LatentBatch(model.normalised(sample), mask, level, content=held)
        log_p = model.prior.log_prob(latents).double()
        logits = (
            representation.decode(sample) if text is None else representation.told(sample, text)
        )
        logits = logits.unflatten(0, (many, -1))[:, counted]
        wanted = target[counted].expand(many, -1)
        said = -functional.cross_entropy(logits.double().mT, wanted, reduction="none")
        rows = counted.flatten(1).sum(1).tolist()
        realised = torch.stack([row.sum(1) for row in said.split(rows, 1)], 1)
        log_q = _log_posterior(model, posterior.log_variance, part, segmentation.mask)
        drawn.append(realised + log_p.unflatten(0, (many, -1)) - log_q)
    return torch.cat(drawn)


@torch.no_grad()
def content_log_weights(
    model: LatentModel, batch: TokenBatch, samples: int = SAMPLES
) -> Tensor | None:
    """(samples, batch) log p(x | e) in nats, float64: text drawn from noise e by a readout.

    This is the model whose sampler takes one step from t = 1, and draws there: each block's text
    from what the readout says of it, given the text before. The noise is the latent; its
    posterior is taken to be its prior, so that the bound has no rate and no prior gap. Rows,
    their ends, and what is drawn are as in `log_weights`. None where no readout draws text.
    """
    whole = _whole_blocks(model, batch)
    segmentation = model.segment(whole)
    posterior = model.representation.encode(whole, segmentation)
    content = model.content(whole, segmentation)
    if content is None:
        return None
    clean = model.normalised(posterior.mode())
    latents = LatentBatch(clean, segmentation.mask, segmentation.level, content=content)
    _, counted = _targets(model, batch, whole, segmentation)
    weights = []
    for noise in _noise(whole, segmentation, posterior, samples):
        nats = model.prior.content_nats(latents, noise)
        if nats is None:
            return None
        weights.append(-torch.where(counted, nats.double(), 0.0).flatten(1).sum(1))
    return torch.stack(weights)


@torch.no_grad()
def density_change(model: LatentModel, batch: TokenBatch) -> Tensor | None:
    """(batch,) nats that log p(z) of one draw gains on a finer integration; None: none is made."""
    whole = _whole_blocks(model, batch)
    segmentation = model.segment(whole)
    posterior = model.representation.encode(whole, segmentation)
    if posterior.log_variance is None:
        return None
    sample = posterior.sample(_noise(whole, segmentation, posterior, 1))[0]
    latents = LatentBatch(
        model.normalised(sample),
        segmentation.mask,
        segmentation.level,
        content=model.content(whole, segmentation),
    )
    return model.prior.density_change(latents)


def _whole_blocks(model: LatentModel, batch: TokenBatch) -> TokenBatch:
    """The rows as documents, completed; a window of a longer one is completed like its end."""
    rows = replace(batch.to("cpu"), complete=torch.ones(len(batch.lengths), dtype=torch.bool))
    return completed(model, rows, model.prior.block_size, 0.0, Noise(0)).to(model.device)


def _targets(
    model: LatentModel, batch: TokenBatch, whole: TokenBatch, segmentation: Segmentation
) -> tuple[Tensor, Tensor]:
    """(batch, segments, slots) what every slot has to say, and whether it counts."""
    slots = model.representation.slots
    lengths = batch.lengths.to(model.device)[:, None]
    grid, held = segmentation.slots(whole.tokens, slots)
    slot = torch.arange(slots, device=model.device)
    place = segmentation.starts[..., None] + slot
    sizes, more = segmentation.lengths, segmentation.starts + segmentation.lengths < lengths
    ends = (slot == sizes[..., None]) & ((sizes > 0) & more)[..., None]
    target = torch.where(held, grid, model.representation.end_of_segment)
    return target, (held & (place < lengths[..., None])) | ends


def _noise(
    whole: TokenBatch, segmentation: Segmentation, posterior: Posterior, samples: int
) -> Tensor:
    """(samples, batch, segments, dim), standard normal, each row's keyed by its tokens."""
    mean = posterior.mean
    drawn = []
    for tokens, length, count in zip(
        whole.tokens.tolist(), whole.lengths.tolist(), segmentation.count.tolist(), strict=True
    ):
        generator = generator_for("likelihood", tuple(tokens[:length]))
        drawn.append(torch.randn(count, samples, mean.shape[-1], generator=generator))
    rows = pad_sequence(drawn, batch_first=True).movedim(2, 0).to(mean)
    return functional.pad(rows, (0, 0, 0, mean.shape[1] - rows.shape[2]))


def _log_posterior(model: LatentModel, log_variance: Tensor, noise: Tensor, mask: Tensor) -> Tensor:
    """(samples, batch) log q of normalised latents, denser or thinner by the change of scale."""
    terms = -0.5 * (noise.square() + log_variance + math.log(2 * math.pi)) - model.scale.log()
    return torch.where(mask[..., None], terms.double(), 0.0).flatten(2).sum(2)
