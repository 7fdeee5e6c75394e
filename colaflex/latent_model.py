"""Segmenter + representation + prior = a language model.

text -> tokens -> segments -> posterior -> latents -> blocks -> prior -> latents -> logits -> text
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from colaflex.interfaces.language_model import (
    GeneratedTokens,
    LanguageModel,
    ParameterGroup,
    Reconstructed,
    Stage,
    StageStep,
)
from colaflex.interfaces.losses import Counts, Losses, LossTerm
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.options import SamplingOptions, TokenSampling
from colaflex.interfaces.prior import Prior, PriorPhase
from colaflex.interfaces.representation import Representation
from colaflex.interfaces.segmenter import Segmenter
from colaflex.interfaces.values import (
    LatentBatch,
    Posterior,
    Segmentation,
    TokenBatch,
    Vocabulary,
)
from colaflex.latent_generation import BlockGenerator, decoded_rows, row_keys

__all__ = ["Coadaptation", "LatentModel"]

END_SEGMENTS = 4
"""Stage 1 completes documents with end-of-text to a multiple of so many segments."""

STATISTICS_BATCHES = 32
"""Batches from which the latents' shift and scale are fitted at the end of stage 1."""

FORCED_ROWS = 0.25
"""Share of the rows in which a boundary is forced at a random place, as a prompt's end does."""


class _Gate(Protocol):
    def value(self, progress: float) -> float: ...


@dataclass(frozen=True)
class Coadaptation:
    """How representation and prior learn together in stage 2.

    Attributes:
        regime: joint, frozen, interval or scratch (no stage 1).
        lr_ratio: the representation's learning rate as a share of the prior's.
        gate: how much of the prior's gradient reaches the encoder, by progress in [0, 1].
        interval: (joint steps, frozen steps) of a cycle of regime "interval".
        representation_weight: of the representation's losses in stage 2.
        prior_weight: of the prior's loss.
        reference_kl: weight of KL(q || q at the end of stage 1), per latent.
        teacher_fraction: share of stage 2 in which a prior trains its own teacher.
    """

    regime: Literal["joint", "frozen", "interval", "scratch"] = "joint"
    lr_ratio: float = 1.0
    gate: _Gate | None = None
    interval: tuple[int, int] = (1, 0)
    representation_weight: float = 1.0
    prior_weight: float = 1.0
    reference_kl: float = 0.0
    teacher_fraction: float = 0.5

    def representation_learns(self, step: int) -> bool:
        """Whether the representation takes part in a step of stage 2."""
        if self.regime == "interval":
            return step % sum(self.interval) < self.interval[0]
        return self.regime != "frozen"


class LatentModel(LanguageModel):
    """p(x) = ∫ p(x | z) p(z) dz over the latents of a document's segments.

    Args:
        segmenter: which span of tokens one latent stands for.
        representation: tokens to latents and back.
        prior: the latents' distribution.
        vocabulary: the tokens.
        coadaptation: how stage 2 goes.
        max_tokens: longest row in training; a longer prompt is heard from its end.
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
    ) -> None:
        super().__init__()
        self.segmenter, self.representation, self.prior = segmenter, representation, prior
        self.vocabulary, self.max_tokens = vocabulary, max_tokens
        self.coadaptation = coadaptation or Coadaptation()
        self.register_buffer("shift", torch.zeros(representation.latent_dim))
        self.register_buffer("scale", torch.ones(representation.latent_dim))
        self.reference: Representation | None = None
        if self.coadaptation.reference_kl:
            self.reference = copy.deepcopy(representation).requires_grad_(False)

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        return self.shift.device

    def parts(self) -> Mapping[str, nn.Module]:
        """Segmenter, representation and prior."""
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
        segmentation = self.segmenter.segment(tokens)
        room = tokens.tokens.shape[1] // self.representation.slots
        missing = room - segmentation.lengths.shape[1]
        if missing <= 0:
            return segmentation
        return Segmentation(nn.functional.pad(segmentation.lengths, (0, missing)))

    def encode(self, tokens: TokenBatch) -> tuple[LatentBatch, Posterior]:
        """The modes of the latents, normalised, and the raw posterior."""
        segmentation = self.segment(tokens)
        posterior = self.representation.encode(tokens, segmentation)
        return LatentBatch(self.normalised(posterior.mode()), segmentation.mask), posterior

    def encode_prompts(self, prompts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Normalised latents (rows, segments, dim) of prompts and how many each has."""
        cut = [list(prompt)[-self.max_tokens :] for prompt in prompts]
        width = max(map(len, cut))
        lengths = torch.tensor([len(prompt) for prompt in cut], device=self.device)
        if not width:
            return self.shift.new_zeros(len(cut), 0, len(self.shift)), lengths
        filled = [prompt + [self.vocabulary.end_of_text] * (width - len(prompt)) for prompt in cut]
        tokens = torch.tensor(filled, device=self.device)
        batch = TokenBatch(tokens, lengths, torch.zeros_like(lengths, dtype=torch.bool))
        segmentation = self.segmenter.segment(batch)
        posterior = self.representation.encode(batch, segmentation)
        return self.normalised(posterior.mode()), segmentation.count

    # Training.

    def stages(self) -> Sequence[Stage]:
        """Stage 1 (unless from scratch), then the prior's phases."""
        first = [] if self.coadaptation.regime == "scratch" else [self._representation_stage()]
        return [*first, *(self._prior_stage(phase) for phase in self._phases())]

    def _phases(self) -> Sequence[PriorPhase]:
        return self.prior.phases(self.coadaptation.teacher_fraction)

    def _representation_stage(self) -> Stage:
        parts = (*self.segmenter.parameters(), *self.representation.parameters())
        return Stage(
            name="representation",
            share=1.0,
            settings="representation",
            groups=[ParameterGroup("representation", parts)],
            prepare=lambda batch, step: self.complete(batch, END_SEGMENTS, step.noise),
            counts=self.counts,
            losses=self._representation_losses,
            flops=lambda batch: 3 * self._representation_flops(batch),
            finish=self._fit_border,
        )

    def _prior_stage(self, phase: PriorPhase) -> Stage:
        plan = self.coadaptation
        groups = [ParameterGroup("prior", phase.parameters)]
        if plan.regime != "frozen":
            parts = list(self.representation.parameters())
            if plan.regime == "scratch":
                parts += list(self.segmenter.parameters())
            groups.append(ParameterGroup("representation", parts, plan.lr_ratio))

        def losses(batch: TokenBatch, step: StageStep) -> Losses:
            return self._prior_losses(batch, step, phase.losses)

        return Stage(
            name=phase.name,
            share=phase.share,
            settings="prior",
            groups=groups,
            prepare=lambda batch, step: self.complete(batch, self.prior.block_size, step.noise),
            counts=self.counts,
            losses=losses,
            flops=lambda batch: self._stage_two_flops(batch, phase),
            start=lambda: self._start_phase(phase),
        )

    def _start_phase(self, phase: PriorPhase) -> None:
        if self.reference is not None and phase.name == self._phases()[0].name:
            self.reference.load_state_dict(self.representation.state_dict())
        phase.start()

    def complete(self, batch: TokenBatch, block: int, noise: Noise) -> TokenBatch:
        """Rows of whole blocks: documents filled up with end-of-text, cut windows shortened.

        In some rows a boundary is forced at a random place, as the end of a prompt forces one.
        """
        size = self.representation.slots
        width = -(-batch.tokens.shape[1] // (size * block)) * size * block
        rows = len(batch.lengths)
        draws = noise.uniform("forced boundaries", (rows, 2), torch.zeros(()))
        at = (draws[:, 1] * batch.lengths).long()
        head = -(-at // size)
        segments = head - (at - batch.lengths) // size
        room = width // size
        # A document has to fit; a window is cut anyway.
        fits = (segments <= room) | ~batch.complete
        forced = (draws[:, 0] < FORCED_ROWS) & fits & (size > 1)
        at, head = torch.where(forced, at, 0), torch.where(forced, head, 0)
        segments = torch.where(forced, segments.clamp(max=room), -(-batch.lengths // size))
        rounded = torch.where(
            batch.complete, -(-segments // block) * block, segments // block * block
        )
        lengths = (at + (rounded - head) * size).clamp(min=0)
        lengths = torch.where(batch.complete, lengths, torch.minimum(lengths, batch.lengths))
        tokens = batch.tokens.new_full((rows, width), self.vocabulary.end_of_text)
        tokens[:, : batch.tokens.shape[1]] = batch.tokens
        tokens[torch.arange(width) >= lengths[:, None]] = self.vocabulary.end_of_text
        boundary = torch.zeros(rows, width, dtype=torch.bool)
        boundary.scatter_(1, at[:, None], forced[:, None])
        return TokenBatch(tokens, lengths, batch.complete, boundary)

    def counts(self, batch: TokenBatch) -> Counts:
        """Tokens, latents and rows of a prepared batch."""
        segmentation = self.segment(batch)
        return {
            "tokens": int(batch.lengths.sum()),
            "latents": int(segmentation.count.sum()),
            "rows": len(batch.lengths),
        }

    def _representation_losses(self, batch: TokenBatch, step: StageStep) -> Losses:
        segmentation = self.segment(batch)
        encoding = self.representation.losses(batch, segmentation, step.noise)
        regularisers = self.segmenter.losses(batch, segmentation)
        return {
            **encoding.losses,
            **regularisers,
            **self._statistics(encoding.posterior, segmentation.mask),
        }

    def _prior_losses(
        self,
        batch: TokenBatch,
        step: StageStep,
        prior_losses: Callable[[LatentBatch, Noise], Losses],
    ) -> Losses:
        """lambda_VAE (realisation + beta E log q + lambda_mask L_mask) + prior + reference KL.

        Cola DLM (2026), section 2.2.3: the prior takes the place of the base density, so that of
        the rate only the negative entropy is left.
        """
        plan, segmentation = self.coadaptation, self.segment(batch)
        terms: dict[str, LossTerm] = {}
        if plan.representation_learns(step.index):
            encoding = self.representation.losses(batch, segmentation, step.noise)
            posterior, sample = encoding.posterior, encoding.sample
            terms.update(self._stage_two_terms(encoding.losses, posterior, segmentation.mask))
            gate = plan.gate.value(step.index / step.total) if plan.gate else 0.0
            sample = torch.lerp(sample.detach(), sample, gate) if gate else sample.detach()
            terms.update(self._reference_term(batch, segmentation, posterior))
        else:
            with torch.no_grad():
                posterior = self.representation.encode(batch, segmentation)
                shape = posterior.mean.shape
                sample = posterior.sample(step.noise.normal("posterior", shape, posterior.mean))
        latents = LatentBatch(self.normalised(sample), segmentation.mask)
        for name, term in prior_losses(latents, step.noise).items():
            terms[name] = replace(term, weight=term.weight * plan.prior_weight)
        return {**terms, **self._statistics(posterior, segmentation.mask)}

    def _stage_two_terms(self, losses: Losses, posterior: Posterior, mask: Tensor) -> Losses:
        weight = self.coadaptation.representation_weight
        terms = {name: replace(t, weight=t.weight * weight) for name, t in losses.items()}
        rate = terms.pop("rate", None)
        if rate is not None and posterior.log_variance is not None:
            negative_entropy = -posterior.entropy()[mask].sum()
            terms["negative_entropy"] = LossTerm(negative_entropy, rate.per, rate.weight)
        return terms

    def _reference_term(
        self, batch: TokenBatch, segmentation: Segmentation, posterior: Posterior
    ) -> Losses:
        if self.reference is None:
            return {}
        with torch.no_grad():
            fixed = self.reference.encode(batch, segmentation)
        divergence = posterior.kl(fixed)[segmentation.mask].sum()
        return {"reference_kl": LossTerm(divergence, "latents", self.coadaptation.reference_kl)}

    def _statistics(self, posterior: Posterior, mask: Tensor) -> Losses:
        """Second moments of the normalised means and of sigma: reported, not optimised.

        Their log ratio is the logSNR (the scale cancels where it is one for all channels); a mean
        square that leaves 1 is drift.
        """
        with torch.no_grad():
            scale = self.scale.square()
            normalised = self.normalised(posterior.mean[mask])
            terms = {"latent_mean_square": normalised.square().mean(-1).sum()}
            if posterior.log_variance is not None:
                variance = posterior.log_variance.expand_as(posterior.mean)[mask].exp() * scale
                terms["latent_noise"] = variance.mean(-1).sum()
        return {name: LossTerm(total, "latents", 0.0) for name, total in terms.items()}

    @torch.no_grad()
    def _fit_border(self, batches: Iterator[TokenBatch]) -> None:
        """Fit shift and scale so that sampled latents have mean 0 and mean square 1."""
        total = torch.zeros(2, len(self.shift), dtype=torch.float64, device=self.device)
        count = 0
        for index, batch in enumerate(islice(batches, STATISTICS_BATCHES)):
            segmentation = self.segment(batch)
            posterior = self.representation.encode(batch, segmentation)
            noise = Noise(0, index, "border").normal("z", posterior.mean.shape, posterior.mean)
            drawn = posterior.sample(noise)[segmentation.mask].double()
            total += torch.stack([drawn.sum(0), drawn.square().sum(0)])
            count += len(drawn)
        if not count:
            return  # a stage of no steps leaves the border as it is
        mean, square = total / count
        self.shift.copy_(mean)
        self.scale.copy_((square - mean.square()).clamp(min=1e-8).rsqrt())

    def _representation_flops(self, batch: TokenBatch) -> int:
        rows, width = batch.tokens.shape
        return self.representation.flops(rows, width // self.representation.slots)

    def _stage_two_flops(self, batch: TokenBatch, phase: PriorPhase) -> int:
        rows, width = batch.tokens.shape
        flops = phase.flops(rows, width // self.representation.slots)
        forward = self._representation_flops(batch)
        return flops + (forward // 2 if self.coadaptation.regime == "frozen" else 3 * forward)

    def _filled(self, batch: TokenBatch) -> TokenBatch:
        """Rows whose last segment is filled up with end-of-text, as training has it."""
        size = self.representation.slots
        width = -(-batch.tokens.shape[1] // size) * size
        tokens = nn.functional.pad(
            batch.tokens, (0, width - batch.tokens.shape[1]), value=self.vocabulary.end_of_text
        )
        lengths = torch.where(batch.complete, -(-batch.lengths // size) * size, batch.lengths)
        return TokenBatch(tokens, lengths, batch.complete)

    # Use.

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
        segmentation = self.segmenter.segment(whole)
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

    def log_likelihood(self, tokens: TokenBatch) -> Tensor | None:
        """None: no bound is declared."""
        del tokens
        return None
