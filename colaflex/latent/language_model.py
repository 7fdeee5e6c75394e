"""A latent model as a language model: how it is trained, generates, and is scored."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

from torch import Tensor

from colaflex.interfaces.capabilities import Likelihood, SegmenterCapabilities
from colaflex.interfaces.language_model import (
    BlockCost,
    GeneratedTokens,
    LanguageModel,
    Reconstructed,
)
from colaflex.interfaces.levels import fine_places
from colaflex.interfaces.noise import row_keys
from colaflex.interfaces.options import SamplingOptions, TokenSampling
from colaflex.interfaces.prior import Prior
from colaflex.interfaces.representation import Representation
from colaflex.interfaces.segmenter import Segmenter
from colaflex.interfaces.stage import Stage
from colaflex.interfaces.values import TokenBatch, Vocabulary
from colaflex.latent.adaptation_stage import AdaptationStage
from colaflex.latent.generation import BlockGenerator
from colaflex.latent.likelihood import content_log_weights, density_change, log_weights
from colaflex.latent.model import LatentModel
from colaflex.latent.prior_stage import PriorStage
from colaflex.latent.reconstruction import reconstructed
from colaflex.latent.representation_stage import RepresentationStage
from colaflex.spec.training import Training

__all__ = ["LatentLanguageModel"]


class LatentLanguageModel(LatentModel, LanguageModel):
    """p(x) = ∫ p(x | z) p(z) dz over the latents of a document's segments.

    Args:
        segmenter: which span of tokens one latent stands for.
        representation: tokens to latents and back.
        prior: the latents' distribution.
        vocabulary: the tokens.
        segments: the segmenter's declaration.
        training: how the stages go: regime, gate, weights.
        max_tokens: longest row in training; a longer prompt is heard from its end.
        likelihood: the prior's declaration.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        representation: Representation,
        prior: Prior,
        vocabulary: Vocabulary,
        segments: SegmenterCapabilities,
        *,
        training: Training | None = None,
        max_tokens: int = 1024,
        likelihood: Likelihood = "none",
    ) -> None:
        super().__init__(segmenter, representation, prior, vocabulary, segments, max_tokens)
        self.training_plan, self.likelihood = training or Training(), likelihood
        if self.training_plan.weights.reference_kl:
            self.reference = copy.deepcopy(representation).requires_grad_(False)
        if self.training_plan.adapts_decoder:
            self.unadapted = copy.deepcopy(representation).requires_grad_(False)

    def stages(self) -> Sequence[Stage]:
        """Stage 1 (unless from scratch), the prior's phases, and the decoder's adaptation."""
        training = self.training_plan
        first = [] if training.regime == "scratch" else [RepresentationStage(self)]
        phases = self.prior.phases(training.teacher_fraction)
        rest = [PriorStage(self, phase, phase is phases[0], training) for phase in phases]
        last = [] if self.unadapted is None else [AdaptationStage(self, training)]
        return [*first, *rest, *last]

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

    def reconstruct(self, tokens: TokenBatch) -> Reconstructed:
        """Rows through the modes of their latents; see `LanguageModel.reconstruct`."""
        return reconstructed(self, tokens)

    def log_likelihood(self, tokens: TokenBatch) -> Tensor | None:
        """(batch,) nats: a lower bound, where prior and posterior have densities; else None.

        The mean over draws from the posterior, which are keyed by the tokens; see
        `latent/likelihood.py`.
        """
        weights = self.log_weights(tokens)
        return None if weights is None else weights.mean(0)

    def log_weights(self, tokens: TokenBatch) -> Tensor | None:
        """(draws, batch) nats; see `latent/likelihood.py`."""
        return log_weights(self, tokens) if self.likelihood != "none" else None

    def content_log_weights(self, tokens: TokenBatch) -> Tensor | None:
        """(draws, batch) nats by the prior's readout; see `latent/likelihood.py`."""
        return content_log_weights(self, tokens)

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
