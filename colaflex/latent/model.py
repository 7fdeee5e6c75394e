"""Segmenter + representation + prior = a language model.

text -> tokens -> segments -> posterior -> latents -> blocks -> prior -> latents -> logits -> text
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from colaflex.interfaces.capabilities import Likelihood, SegmenterCapabilities
from colaflex.interfaces.language_model import (
    BlockCost,
    GeneratedTokens,
    LanguageModel,
    Reconstructed,
    Stage,
)
from colaflex.interfaces.levels import fine_places, levelled, places_of
from colaflex.interfaces.noise import row_keys
from colaflex.interfaces.options import SamplingOptions, TokenSampling
from colaflex.interfaces.prior import Prior
from colaflex.interfaces.readout import Readout
from colaflex.interfaces.representation import Representation
from colaflex.interfaces.segmenter import Segmenter
from colaflex.interfaces.values import (
    LatentBatch,
    Posterior,
    Segmentation,
    TokenBatch,
    Vocabulary,
)
from colaflex.latent.coadaptation import Coadaptation
from colaflex.latent.generation import BlockGenerator, decoded_rows
from colaflex.latent.likelihood import density_change, log_weights
from colaflex.latent.training import LatentTraining

__all__ = ["LatentModel", "Segments"]

Segments = list[list[int]]
"""The tokens of one row, segment by segment; none in a coarse one."""


class LatentModel(LanguageModel):
    """p(x) = ∫ p(x | z) p(z) dz over the latents of a document's segments.

    Args:
        segmenter: which span of tokens one latent stands for.
        representation: tokens to latents and back.
        prior: the latents' distribution.
        vocabulary: the tokens.
        coadaptation: how stage 2 goes.
        max_tokens: longest row in training; a longer prompt is heard from its end.
        segments: the segmenter's declaration.
        likelihood: the prior's declaration.
    """

    shift: Tensor
    scale: Tensor

    def __init__(
        self,
        segmenter: Segmenter,
        representation: Representation,
        prior: Prior,
        vocabulary: Vocabulary,
        coadaptation: Coadaptation | None = None,
        max_tokens: int = 1024,
        segments: SegmenterCapabilities | None = None,
        likelihood: Likelihood = "none",
    ) -> None:
        super().__init__()
        self.likelihood: Likelihood = likelihood
        self.segmenter, self.representation, self.prior = segmenter, representation, prior
        self.vocabulary, self.max_tokens = vocabulary, max_tokens
        self.segments = segments or SegmenterCapabilities(representation.slots)
        self.coadaptation = coadaptation or Coadaptation()
        self.register_buffer("shift", torch.zeros(representation.latent_dim))
        self.register_buffer("scale", torch.ones(representation.latent_dim))
        self.reference: Representation | None = None
        if self.coadaptation.reference_kl:
            self.reference = copy.deepcopy(representation).requires_grad_(False)
        for part in prior.modules():
            if isinstance(part, Readout):
                part.behind(lambda latents: self.raw(latents))

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        return self.shift.device

    def parts(self) -> Mapping[str, nn.Module]:
        """Segmenter, representation and prior; the frozen reference is none of them."""
        return {
            "segmenter": self.segmenter,
            "representation": self.representation,
            "prior": self.prior,
        }

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
        found = self.cut(tokens)  # with its probabilities, also where the lengths are settled
        lengths = tokens.segments
        if lengths is None:
            room = places_of(tokens.tokens.shape[1] // self.representation.slots, group)
            missing = max(0, room - found.lengths.shape[1])
            lengths = nn.functional.pad(found.lengths, (0, missing))
        settled = levelled(lengths, group)
        return replace(found, lengths=settled.lengths, level=settled.level)

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

    def encode_prompts(self, prompts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Normalised latents (rows, segments, dim) of prompts and how many each has."""
        return self.encode_segments(self.prompt_segments(prompts))

    def prompt_segments(self, prompts: Sequence[Sequence[int]]) -> list[Segments]:
        """The tokens of each prompt by segment; of a long prompt, its last `max_tokens`."""
        cut = [list(prompt)[-self.max_tokens :] for prompt in prompts]
        if not any(cut):
            return [[] for _ in cut]
        batch = self._batch(cut)
        found = self.cut(batch)
        lengths = [
            sizes[:count]
            for sizes, count in zip(found.lengths.tolist(), found.count.tolist(), strict=True)
        ]
        return [_split(prompt, sizes) for prompt, sizes in zip(cut, lengths, strict=True)]

    def encode_segments(
        self, rows: Sequence[Segments], prompts: Sequence[int] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Normalised latents (rows, segments, dim) of given segments and how many each row has.

        Args:
            rows: tokens by segment.
            prompts: tokens of the prompt with which each row begins, where one goes on behind it.
        """
        counts = torch.tensor([len(row) for row in rows], device=self.device)
        if not int(counts.max()):
            return self.shift.new_zeros(len(rows), 0, len(self.shift)), counts
        batch = self._of_segments(rows)
        if prompts is not None:
            forced = torch.arange(batch.tokens.shape[1]) == torch.tensor(prompts)[:, None]
            batch = replace(batch, forced=forced.to(self.device))
        posterior = self.representation.encode(batch, self.segment(batch))
        return self.normalised(posterior.mode()), counts

    def committed(
        self,
        prefix: Any,
        latents: Tensor,
        rows: Sequence[Segments],
        counts: Tensor | None = None,
    ) -> Any:
        """The prior's prefix with the latents of further segments.

        Args:
            prefix: the prior's.
            latents: (rows, segments, dim), normalised.
            rows: the tokens of these segments.
            counts: (rows,) latents that count in each row, whole blocks; all by default.
        """
        if not self.prior.needs_content:
            return self.prior.commit(prefix, latents, counts)
        batch = self._of_segments(rows)
        assert batch.segments is not None
        content = self.representation.content(batch, Segmentation(batch.segments))
        return self.prior.commit_told(prefix, latents, content[:, : latents.shape[1]], counts)

    def _of_segments(self, rows: Sequence[Segments]) -> TokenBatch:
        """Rows of given segments."""
        sizes = [torch.tensor([len(segment) for segment in row]) for row in rows]
        lengths = nn.utils.rnn.pad_sequence(sizes, batch_first=True).long().to(self.device)
        batch = self._batch([[token for segment in row for token in segment] for row in rows])
        return replace(batch, segments=lengths)

    def _batch(self, rows: Sequence[Sequence[int]]) -> TokenBatch:
        """Rows that go on behind what is given."""
        width, end = max(map(len, rows)), self.vocabulary.end_of_text
        filled = [[*row, *[end] * (width - len(row))] for row in rows]
        lengths = torch.tensor([len(row) for row in rows], device=self.device)
        tokens = torch.tensor(filled, device=self.device)
        return TokenBatch(tokens, lengths, torch.zeros_like(lengths, dtype=torch.bool))

    def stages(self) -> Sequence[Stage]:
        """Stage 1 (unless from scratch), then the prior's phases."""
        return LatentTraining(self).stages()

    # Use.

    def heard(self, length: int) -> int:
        """At most `max_tokens`; see `LanguageModel.heard`."""
        return min(length, self.max_tokens)

    def generate_tokens(
        self,
        prompts: Sequence[Sequence[int]],
        seed: int,
        max_new_tokens: int,
        latent_sampling: SamplingOptions,
        token_sampling: TokenSampling,
        earlier: Sequence[Sequence[int]] = (),
    ) -> Iterator[Sequence[GeneratedTokens]]:
        """Continue every prompt, block by block; see `LanguageModel.generate_tokens`."""
        generator = BlockGenerator(self, latent_sampling, token_sampling, max_new_tokens)
        return generator.run(prompts, row_keys(prompts, seed, earlier))

    @torch.no_grad()
    def reconstruct(self, tokens: TokenBatch) -> Reconstructed:
        """Rows through the modes of their latents; see `LanguageModel.reconstruct`."""
        whole = self._filled(tokens)
        segmentation = self.cut(whole)
        posterior = self.representation.encode(whole, segmentation)
        logits = self.representation.decode(posterior.mode()).float()
        grid, _ = segmentation.slots(whole.tokens, self.representation.slots)
        counted = nn.functional.pad(tokens.mask, (0, whole.tokens.shape[1] - tokens.mask.shape[1]))
        held, exists = segmentation.slots(counted, self.representation.slots)
        held = held & exists
        nll = nn.functional.cross_entropy(logits.flatten(0, 2), grid.flatten(), reduction="none")
        hit = logits.argmax(-1) == grid
        return Reconstructed(
            decoded_rows(self, logits, segmentation.mask),
            (hit & held).flatten(1).sum(1),
            held.flatten(1).sum(1),
            torch.where(held, nll.view(held.shape), 0.0).flatten(1).sum(1),
        )

    def _filled(self, batch: TokenBatch) -> TokenBatch:
        """Rows whose last segment is filled up with end-of-text, as training has it."""
        if self.segments.variable:
            return batch
        size = self.representation.slots
        width = -(-batch.tokens.shape[1] // size) * size
        tokens = nn.functional.pad(
            batch.tokens, (0, width - batch.tokens.shape[1]), value=self.vocabulary.end_of_text
        )
        lengths = torch.where(batch.complete, -(-batch.lengths // size) * size, batch.lengths)
        return TokenBatch(tokens, lengths, batch.complete)

    def log_likelihood(self, tokens: TokenBatch) -> Tensor | None:
        """(batch,) nats: a lower bound, where prior and posterior have densities; else None.

        The mean over draws from the posterior, which are keyed by the tokens; see
        `latent_likelihood`.
        """
        weights = self.log_weights(tokens)
        return None if weights is None else weights.mean(0)

    def log_weights(self, tokens: TokenBatch) -> Tensor | None:
        """(draws, batch) nats; see `latent_likelihood`."""
        return log_weights(self, tokens) if self.likelihood != "none" else None

    @property
    def weighs_draws(self) -> bool:
        """Not where the prior's density is an estimate: the log of a mean favours noise."""
        return self.likelihood == "exact"

    def likelihood_change(self, tokens: TokenBatch) -> Tensor | None:
        """(batch,) nats by a finer integration of the prior's density, of one draw."""
        return density_change(self, tokens) if self.likelihood != "none" else None

    def network_evaluations(self, options: SamplingOptions) -> BlockCost | None:
        """The prior's; tokens where all segments are of one length."""
        evaluations = self.prior.network_evaluations(options)
        if evaluations is None:
            return None
        if self.segments.variable:
            return BlockCost(evaluations)
        latents = fine_places(self.prior.block_size, self.segments.group)
        return BlockCost(evaluations, latents * self.segments.max_segment_tokens)


def _split(tokens: list[int], sizes: Sequence[int]) -> Segments:
    ends = list(accumulate(sizes))
    return [tokens[end - size : end] for end, size in zip(ends, sizes, strict=True)]
