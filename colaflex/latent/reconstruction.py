"""Rows through a latent model's encoder and decoder."""

from __future__ import annotations

import torch
from torch.nn import functional

from colaflex.interfaces.language_model import Reconstructed
from colaflex.interfaces.values import TokenBatch
from colaflex.latent.generation import decoded_rows
from colaflex.latent.model import LatentModel

__all__ = ["reconstructed"]


@torch.no_grad()
def reconstructed(model: LatentModel, tokens: TokenBatch) -> Reconstructed:
    """Rows through the modes of their latents; see `LanguageModel.reconstruct`."""
    whole = _filled(model, tokens)
    segmentation, slots = model.cut(whole), model.representation.slots
    posterior = model.representation.encode(whole, segmentation)
    logits = model.representation.decode(posterior.mode()).float()
    grid, _ = segmentation.slots(whole.tokens, slots)
    counted = functional.pad(tokens.mask, (0, whole.tokens.shape[1] - tokens.mask.shape[1]))
    held, exists = segmentation.slots(counted, slots)
    held = held & exists
    told = logits
    if model.representation.in_turn:
        content = model.representation.content(whole, segmentation)
        told = model.representation.told(posterior.mode(), content).float()
    nll = functional.cross_entropy(told.flatten(0, 2), grid.flatten(), reduction="none")
    hit = logits.argmax(-1) == grid
    return Reconstructed(
        decoded_rows(model, logits, segmentation.mask),
        (hit & held).flatten(1).sum(1),
        held.flatten(1).sum(1),
        torch.where(held, nll.view(held.shape), 0.0).flatten(1).sum(1),
    )


def _filled(model: LatentModel, batch: TokenBatch) -> TokenBatch:
    """Rows whose last segment is filled up with end-of-text, as training has it."""
    if model.segments.variable:
        return batch
    size = model.representation.slots
    width = -(-batch.tokens.shape[1] // size) * size
    tokens = functional.pad(
        batch.tokens, (0, width - batch.tokens.shape[1]), value=model.vocabulary.end_of_text
    )
    lengths = torch.where(batch.complete, -(-batch.lengths // size) * size, batch.lengths)
    return TokenBatch(tokens, lengths, batch.complete)
