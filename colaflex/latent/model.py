"""Segmenter, representation and prior, and the border between the last two.

text -> tokens -> segments -> posterior -> latents -> blocks -> prior -> latents -> logits -> text
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Self

import torch
from torch import Tensor, nn

from colaflex.interfaces.capabilities import SegmenterCapabilities
from colaflex.interfaces.levels import levelled, places_of
from colaflex.interfaces.prior import Prior
from colaflex.interfaces.readout import Readout
from colaflex.interfaces.representation import Representation
from colaflex.interfaces.schedule import ContentCosts, Schedule
from colaflex.interfaces.segmenter import Segmenter
from colaflex.interfaces.values import LatentBatch, Posterior, Segmentation, TokenBatch, Vocabulary

__all__ = ["LatentModel"]


class LatentModel(nn.Module):
    """The parts of a latent model, and what lies between them.

    Args:
        segmenter: which span of tokens one latent stands for.
        representation: tokens to latents and back.
        prior: the latents' distribution.
        vocabulary: the tokens.
        segments: the segmenter's declaration.
        max_tokens: longest row in training; a longer prompt is heard from its end.

    Attributes:
        reference: the encoder at the end of stage 1, frozen, where stage 2 holds to it.
        unadapted: the representation as the prior's stages left it, frozen, where its decoder is
            adapted to the prior since.
    """

    shift: Tensor
    scale: Tensor

    def __init__(
        self,
        segmenter: Segmenter,
        representation: Representation,
        prior: Prior,
        vocabulary: Vocabulary,
        segments: SegmenterCapabilities,
        max_tokens: int = 1024,
    ) -> None:
        super().__init__()
        self.segmenter, self.representation, self.prior = segmenter, representation, prior
        self.vocabulary, self.segments, self.max_tokens = vocabulary, segments, max_tokens
        self.register_buffer("shift", torch.zeros(representation.latent_dim))
        self.register_buffer("scale", torch.ones(representation.latent_dim))
        self.reference: Representation | None = None
        self.unadapted: Representation | None = None
        for part in prior.modules():
            if isinstance(part, Readout):
                part.behind(lambda latents: self.raw(latents))
            if isinstance(part, Schedule):
                part.behind(self._content_costs())

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        return self.shift.device

    def parts(self) -> Mapping[str, nn.Module]:
        """Segmenter, representation and prior; what is kept frozen is none of them."""
        return {
            "segmenter": self.segmenter,
            "representation": self.representation,
            "prior": self.prior,
        }

    def with_unadapted_decoder(self) -> Self | None:
        """The same model by the decoder that was not adapted yet; None where it never is.

        It shares all other parts with this one.
        """
        if self.unadapted is None:
            return None
        before = copy.copy(self)
        before._modules = {**self._modules, "representation": self.unadapted, "unadapted": None}
        return before

    def _content_costs(self) -> ContentCosts:
        """What contents cost by the decoder, of latents as the prior sees them."""

        def nats(latents: Tensor, content: Tensor) -> Tensor:
            return self.representation.costs(self.raw(latents), content)

        return ContentCosts(nats, self.representation.decoding_flops)

    # The border between representation and prior.

    def normalised(self, latents: Tensor) -> Tensor:
        """Raw latents as the prior sees them: (z - shift) · scale."""
        return (latents - self.shift) * self.scale

    def raw(self, latents: Tensor) -> Tensor:
        """The inverse of `normalised`."""
        return latents / self.scale + self.shift

    def segment(self, tokens: TokenBatch) -> Segmentation:
        """Segments of every row, padded to what the batch's width holds of full segments."""
        group = self.segments.group
        if tokens.segments is not None and not self.segments.learned:
            return levelled(tokens.segments, group)
        segmentation = self.cut(
            tokens
        )  # with its probabilities, also where the lengths are settled
        lengths = tokens.segments
        if lengths is None:
            room = places_of(tokens.tokens.shape[1] // self.representation.slots, group)
            missing = max(0, room - segmentation.lengths.shape[1])
            lengths = nn.functional.pad(segmentation.lengths, (0, missing))
        settled = levelled(lengths, group)
        return replace(segmentation, lengths=settled.lengths, level=settled.level)

    def cut(self, tokens: TokenBatch) -> Segmentation:
        """The segmenter's segments, given the states that it needs."""
        if not self.segments.needs_states:
            return self.segmenter.segment(tokens)
        states = self.representation.token_states(tokens)
        return replace(self.segmenter.segment(tokens, states), states=states)

    def settled(self, tokens: TokenBatch) -> Segmentation:
        """As `segment`, where the lengths alone matter: of rows that have them, nothing is run."""
        if tokens.segments is not None and self.segments.learned:
            return levelled(tokens.segments, self.segments.group)
        return self.segment(tokens)

    def content(self, tokens: TokenBatch, segmentation: Segmentation) -> Tensor | None:
        """What the latents stand for, where the prior asks for it; see `Representation.content`."""
        if not self.prior.needs_content:
            return None
        return self.representation.content(tokens, segmentation)

    def encode(self, tokens: TokenBatch) -> tuple[LatentBatch, Posterior]:
        """The modes of the latents, normalised, and the raw posterior."""
        segmentation = self.segment(tokens)
        posterior = self.representation.encode(tokens, segmentation)
        latents = self.normalised(posterior.mode())
        content = self.content(tokens, segmentation)
        batch = LatentBatch(latents, segmentation.mask, segmentation.level, content=content)
        return batch, posterior
