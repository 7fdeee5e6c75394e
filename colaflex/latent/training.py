"""How a latent model learns: its stages, their losses, and the border between its parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from colaflex.interfaces.language_model import ParameterGroup, Stage, StageStep
from colaflex.interfaces.levels import fine_lengths, fine_places, spread
from colaflex.interfaces.losses import Counts, Losses, LossTerm
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.prior import PriorPhase
from colaflex.interfaces.readout import Readout
from colaflex.interfaces.representation import Encoding
from colaflex.interfaces.values import LatentBatch, Posterior, Segmentation, TokenBatch
from colaflex.latent.whole_blocks import learned_segments, whole_blocks, whole_variable_blocks

if TYPE_CHECKING:
    from colaflex.latent.coadaptation import Coadaptation
    from colaflex.latent.model import LatentModel

__all__ = ["LatentTraining"]

END_SEGMENTS = 4
"""Stage 1 completes documents with end-of-text to a multiple of so many segments.

Of two levels, of the fewest whole groups with so many.
"""

CUT_ROWS = 0.25
"""Stage 1: share of the rows with a segment cut at a random token, to learn short segments."""

STATISTICS_BATCHES = 32
"""Batches from which the latents' shift and scale are fitted at the end of stage 1."""


SCRATCH_FITS = (1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2)
"""When shift and scale are fitted anew without a stage 1, which fits them once for all.

In ever longer steps: the latents move less and less, and the prior follows each time.
"""


class LatentTraining:
    """The stages of a latent model's training.

    Args:
        model: what learns.
    """

    def __init__(self, model: LatentModel) -> None:
        self.model, self.plan = model, model.coadaptation

    def stages(self) -> Sequence[Stage]:
        """Stage 1 (unless from scratch), then the prior's phases."""
        first = [] if self.plan.regime == "scratch" else [self._representation_stage()]
        return [*first, *(self._prior_stage(phase) for phase in self._phases())]

    def _phases(self) -> Sequence[PriorPhase]:
        return self.model.prior.phases(self.plan.teacher_fraction)

    def _representation_stage(self) -> Stage:
        group = self.model.segments.group
        end = -(-END_SEGMENTS // group) * group
        parts = (*self.model.segmenter.parameters(), *self.model.representation.parameters())
        return Stage(
            name="representation",
            share=1.0,
            settings="representation",
            groups=[ParameterGroup("representation", parts)],
            prepare=lambda batch, step: self.complete(batch, end, CUT_ROWS, step.noise),
            counts=lambda batch: self._counts(batch, self.model.settled(batch).mask),
            losses=self._representation_losses,
            flops=lambda batch: self._representation_flops(batch, 3) + 3 * self._cutting(batch),
            fit=self._fit_representation,
            finish=self._fit_border,
        )

    def _prior_stage(self, phase: PriorPhase) -> Stage:
        plan, model = self.plan.during(phase), self.model
        groups = [ParameterGroup("prior", phase.parameters, phase.lr_ratio)]
        if plan.regime != "frozen":
            # A segmenter is frozen after stage 1, and so is what it reads.
            fixed = () if plan.regime == "scratch" else self._read_by_segmenter()
            parts = [p for p in model.representation.parameters() if p not in fixed]
            if plan.regime == "scratch":
                parts += list(model.segmenter.parameters())
            groups.append(ParameterGroup("representation", parts, plan.lr_ratio))

        return Stage(
            name=phase.name,
            share=phase.share,
            settings="prior",
            groups=groups,
            prepare=lambda batch, step: self.complete(
                batch,
                model.prior.block_size,
                step.noise.in_some_steps(plan.prompt_rows),
                step.noise,
            ),
            counts=lambda batch: self._counts(batch, self._learned(batch, model.settled(batch))),
            losses=lambda batch, step: self._prior_losses(batch, step, phase.losses, plan),
            flops=lambda batch: self._stage_two_flops(batch, phase, plan.learning_share),
            start=lambda: self._start_phase(phase),
            fit=lambda batches: self._fit_from_scratch(phase, batches),
            refits=SCRATCH_FITS if plan.regime == "scratch" else (),
        )

    def _read_by_segmenter(self) -> set[torch.nn.Parameter]:
        if not self.model.segments.needs_states:
            return set()
        return set(self.model.representation.token_state_parameters())

    def _start_phase(self, phase: PriorPhase) -> None:
        if self.model.reference is not None and phase.name == self._phases()[0].name:
            self.model.reference.load_state_dict(self.model.representation.state_dict())
        if phase.name == self._phases()[0].name:
            for part in self.model.prior.modules():
                if isinstance(part, Readout):
                    part.start()
        phase.start()

    def complete(self, batch: TokenBatch, block: int, cut: float, noise: Noise) -> TokenBatch:
        """Rows of whole blocks, in a share of which a boundary is forced; see `whole_blocks`."""
        complete, group = whole_blocks, self.model.segments.group
        if self.model.segments.variable:
            complete = partial(whole_variable_blocks, cut=self._fine, device=self.model.device)
        # Tokens are in fine segments alone, of which every block holds equally many.
        done = complete(
            batch,
            self.model.representation.slots,
            fine_places(block, group),
            end_of_text=self.model.vocabulary.end_of_text,
            prompt_rows=cut if self.model.segments.aligned else 0.0,
            noise=noise,
        )
        if done.segments is None:
            return done
        return replace(done, segments=spread(done.segments, group))

    def _fine(self, batch: TokenBatch) -> Segmentation:
        lengths = self.model.cut(batch).lengths
        return Segmentation(fine_lengths(lengths, self.model.segments.group))

    def _learned(self, batch: TokenBatch, segmentation: Segmentation) -> Tensor:
        return learned_segments(batch, segmentation, self.model.prior.block_size)

    def _counts(self, batch: TokenBatch, learned: Tensor) -> Counts:
        return {
            "tokens": int(batch.lengths.sum()),
            "latents": int(learned.sum()),
            "rows": len(batch.lengths),
        }

    def _representation_losses(self, batch: TokenBatch, step: StageStep) -> Losses:
        segmentation = self.model.segment(batch)
        encoding = self.model.representation.losses(batch, segmentation, step.noise)
        regularisers = self.model.segmenter.losses(batch, segmentation)
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
        plan: Coadaptation,
    ) -> Losses:
        """lambda_VAE (realisation + rate + lambda_mask L_mask) + prior + reference KL.

        Cola DLM (2026), section 2.2.3, where the gate is open: the prior takes the place of the
        base density, and of the rate only the negative entropy is left.
        """
        segmentation = self.model.segment(batch)
        terms: dict[str, LossTerm] = {}
        if plan.representation_learns(step.index):
            encoding = self.model.representation.losses(batch, segmentation, step.noise)
            posterior, sample = encoding.posterior, encoding.sample
            gate = plan.gate.value(step.index / step.total) if plan.gate else 0.0
            terms.update(self._stage_two_terms(encoding, segmentation.mask, gate))
            sample = torch.lerp(sample.detach(), sample, gate) if gate else sample.detach()
            terms.update(self._reference_term(batch, segmentation, posterior))
            if plan.regime == "scratch":
                terms.update(self.model.segmenter.losses(batch, segmentation))
        else:
            with torch.no_grad():
                posterior = self.model.representation.encode(batch, segmentation)
                shape = posterior.mean.shape
                sample = posterior.sample(step.noise.normal("posterior", shape, posterior.mean))
        learned = self._learned(batch, segmentation)
        content = self.model.content(batch, segmentation)
        values = self.model.normalised(sample)
        latents = LatentBatch(values, learned, segmentation.level, content=content)
        for name, term in prior_losses(latents, step.noise).items():
            terms[name] = replace(term, weight=term.weight * plan.prior_weight)
        return {**terms, **self._statistics(posterior, segmentation.mask)}

    def _stage_two_terms(self, encoding: Encoding, mask: Tensor, gate: float) -> Losses:
        """The representation's losses; as far as the gate opens, the prior is the latents' base.

        As far as it doesn't, the base is standard normal, of normalised latents, whose scale it
        holds where it was fitted: an encoder that heard neither of base and prior would gain
        entropy by growing without end.
        """
        weight, posterior = self.plan.representation_weight, encoding.posterior
        terms = {n: replace(t, weight=t.weight * weight) for n, t in encoding.losses.items()}
        rate, spread = terms.get("rate"), posterior.log_variance
        if rate is None or spread is None or not spread.requires_grad:
            return terms  # a fixed spread fixes scale and entropy with it
        base = self.model.representation.rate(self._normalised(posterior))[mask].sum()
        terms["rate"] = LossTerm(base, rate.per, rate.weight * (1.0 - gate))
        if gate:
            negative_entropy = -posterior.entropy()[mask].sum()
            terms["negative_entropy"] = LossTerm(negative_entropy, rate.per, rate.weight * gate)
        return terms

    def _normalised(self, posterior: Posterior) -> Posterior:
        return posterior.normalised(self.model.shift, self.model.scale)

    def _reference_term(
        self, batch: TokenBatch, segmentation: Segmentation, posterior: Posterior
    ) -> Losses:
        if self.model.reference is None:
            return {}
        with torch.no_grad():
            # The reference reads with states of its own.
            own = replace(segmentation, states=None)
            fixed = self.model.reference.encode(batch, own)
        divergence = posterior.kl(fixed)[segmentation.mask].sum()
        return {"reference_kl": LossTerm(divergence, "latents", self.plan.reference_kl)}

    def _statistics(self, posterior: Posterior, mask: Tensor) -> Losses:
        """Second moments of the normalised means and of sigma: reported, not optimised.

        Their log ratio is the logSNR (the scale cancels where it is one for all channels); a mean
        square that leaves 1 is drift.
        """
        with torch.no_grad():
            found = self._normalised(posterior)
            terms = {"latent_mean_square": found.mean[mask].square().mean(-1).sum()}
            if found.log_variance is not None:
                variance = found.log_variance.expand_as(found.mean)[mask].exp()
                terms["latent_noise"] = variance.mean(-1).sum()
        return {name: LossTerm(total, "latents", 0.0) for name, total in terms.items()}

    def _fit_representation(self, batches: Iterator[TokenBatch]) -> None:
        model, some = self.model, islice(batches, STATISTICS_BATCHES)
        model.representation.fit((batch, model.segment(batch)) for batch in some)

    def _fit_from_scratch(self, phase: PriorPhase, batches: Iterator[TokenBatch]) -> None:
        """Without a stage 1, what it would have left: of the first encoder, then of later ones."""
        if self.plan.during(phase).regime == "scratch":
            some = list(islice(batches, STATISTICS_BATCHES))
            self._fit_representation(iter(some))
            self._fit_border(iter(some))

    @torch.no_grad()
    def _fit_border(self, batches: Iterator[TokenBatch]) -> None:
        """Fit shift and scale so that sampled latents have mean 0 and mean square 1."""
        model = self.model
        total = torch.zeros(2, len(model.shift), dtype=torch.float64, device=model.device)
        count = 0
        for index, batch in enumerate(islice(batches, STATISTICS_BATCHES)):
            segmentation = model.segment(batch)
            posterior = model.representation.encode(batch, segmentation)
            noise = Noise(0, index, "border").normal("z", posterior.mean.shape, posterior.mean)
            drawn = posterior.sample(noise)[segmentation.mask].double()
            total += torch.stack([drawn.sum(0), drawn.square().sum(0)])
            count += len(drawn)
        if not count:
            return  # a stage of no steps leaves the border as it is
        mean, square = total / count
        model.shift.copy_(mean)
        model.scale.copy_((square - mean.square()).clamp(min=1e-8).rsqrt())

    def _representation_flops(self, batch: TokenBatch, passes: float) -> int:
        """Of so many forward passes, a backward pass being two; what is frozen has one."""
        representation, shape = self.model.representation, self.model.settled(batch).lengths.shape
        frozen = representation.frozen_flops(*shape)
        learned = representation.flops(*shape) - frozen
        learned += representation.token_flops(*batch.tokens.shape)
        return int(frozen + passes * learned)

    def _cutting(self, batch: TokenBatch) -> int:
        return self.model.segmenter.flops(*batch.tokens.shape)

    def _stage_two_flops(self, batch: TokenBatch, phase: PriorPhase, learning: float) -> int:
        flops = phase.flops(*self.model.settled(batch).lengths.shape) + self._cutting(batch)
        # Where it rests, only its encoder runs, about half of it.
        return flops + self._representation_flops(batch, 3 * learning + 0.5 * (1 - learning))
