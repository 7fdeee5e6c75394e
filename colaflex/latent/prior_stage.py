"""Stage 2: the prior learns, phase by phase, and the representation with it as far as it may."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import torch
from torch import Tensor

from colaflex.interfaces.losses import Losses, LossTerm
from colaflex.interfaces.prior import PriorPhase
from colaflex.interfaces.readout import Readout
from colaflex.interfaces.representation import Encoding
from colaflex.interfaces.stage import ParameterGroup, StageStep
from colaflex.interfaces.values import LatentBatch, Posterior, Segmentation, TokenBatch
from colaflex.latent.model import LatentModel
from colaflex.latent.representation_stage import STATISTICS_BATCHES, RepresentationStage
from colaflex.latent.stage import BlockStage
from colaflex.spec.training import Training

__all__ = ["PriorStage"]

SCRATCH_FITS = (1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2)
"""When shift and scale are fitted anew without a stage 1, which fits them once for all.

In ever longer steps: the latents move less and less, and the prior follows each time.
"""


class PriorStage(BlockStage):
    """One phase of the prior's training, by the spec's regime.

    The loss is that of Cola DLM (2026), section 2.2.3: lambda_VAE (realisation + rate + lambda_mask
    L_mask) + prior + reference KL.

    Args:
        model: whose prior learns.
        phase: of the prior.
        first: whether it is the prior's first.
        training: regime, gate and weights.
    """

    settings = "prior"

    def __init__(
        self, model: LatentModel, phase: PriorPhase, first: bool, training: Training
    ) -> None:
        super().__init__(model, training.prompt_rows)
        self.name, self.share = phase.name, phase.share
        self.phase, self.first, self.training = phase, first, training
        # What a teacher says holds of the latents that it has learned, and of no others.
        self.regime = "frozen" if phase.representation_rests else training.regime
        gate = training.gradient_gate
        self.gate = gate if gate.opens else None
        self.groups = [ParameterGroup("prior", phase.parameters, phase.lr_ratio), *self._along()]
        self.refits = SCRATCH_FITS if self.regime == "scratch" else ()

    def _along(self) -> list[ParameterGroup]:
        """What learns along with the prior."""
        model = self.model
        if self.regime == "frozen":
            return []
        parts = list(model.representation.parameters())
        if self.regime == "scratch":
            parts += model.segmenter.parameters()
        elif model.segments.needs_states:
            # A segmenter is frozen after stage 1, and so is what it reads.
            fixed = set(model.representation.token_state_parameters())
            parts = [p for p in parts if p not in fixed]
        return [ParameterGroup("representation", parts, self.training.representation_lr_ratio)]

    def start(self) -> None:
        """Note the encoder of stage 1, where a term holds to it, and begin the phase."""
        if self.first:
            if self.model.reference is not None:
                self.model.reference.load_state_dict(self.model.representation.state_dict())
            for part in self.model.prior.modules():
                if isinstance(part, Readout):
                    part.start()
        self.phase.start()

    def fit(self, batches: Iterator[TokenBatch]) -> None:
        """From scratch: what a stage 1 would have left, of the first encoder and of later ones."""
        if self.regime == "scratch":
            some = list(islice(batches, STATISTICS_BATCHES))
            stage_one = RepresentationStage(self.model)
            stage_one.fit(iter(some))
            stage_one.finish(iter(some))

    def flops(self, batch: TokenBatch) -> int:
        """The phase's, and the representation's as far as it learns; only its encoder otherwise."""
        latents = self.model.settled(batch).lengths.shape
        flops = self.phase.flops(*latents) + self._segmenter_flops(batch)
        return flops + self._representation_flops(batch, self.learning_share)

    @property
    def learning_share(self) -> float:
        """Share of the steps in which the representation learns."""
        if self.regime == "interval":
            rhythm = self.training.interval
            return rhythm.joint_steps / (rhythm.joint_steps + rhythm.frozen_steps)
        return 0.0 if self.regime == "frozen" else 1.0

    def representation_learns(self, step: int) -> bool:
        """Whether the representation takes part in a step."""
        if self.regime == "interval":
            rhythm = self.training.interval
            return step % (rhythm.joint_steps + rhythm.frozen_steps) < rhythm.joint_steps
        return self.regime != "frozen"

    def losses(self, batch: TokenBatch, step: StageStep) -> Losses:
        """The prior's losses of sampled latents, and the representation's where it learns."""
        model = self.model
        segmentation = model.segment(batch)
        terms: dict[str, LossTerm] = {}
        if self.representation_learns(step.index):
            encoding = model.representation.losses(batch, segmentation, step.noise)
            posterior, sample = encoding.posterior, encoding.sample
            gate = self.gate.value(step.index / step.total) if self.gate else 0.0
            terms.update(self._representation_terms(encoding, segmentation.mask, gate))
            sample = torch.lerp(sample.detach(), sample, gate) if gate else sample.detach()
            terms.update(self._reference_term(batch, segmentation, posterior))
            if self.regime == "scratch":
                terms.update(model.segmenter.losses(batch, segmentation))
        else:
            with torch.no_grad():
                posterior = model.representation.encode(batch, segmentation)
                shape = posterior.mean.shape
                sample = posterior.sample(step.noise.normal("posterior", shape, posterior.mean))
        latents = LatentBatch(
            model.normalised(sample),
            self._learned(batch, segmentation),
            segmentation.level,
            content=model.content(batch, segmentation),
        )
        for name, term in self.phase.losses(latents, step.noise).items():
            terms[name] = replace(term, weight=term.weight * self.training.weights.prior)
        return {**terms, **self._statistics(posterior, segmentation.mask)}

    def stepped(self, index: int) -> None:
        """Tell the phase."""
        self.phase.stepped(index)

    def _representation_terms(self, encoding: Encoding, mask: Tensor, gate: float) -> Losses:
        """The representation's losses; as far as the gate opens, the prior is the latents' base.

        As far as it doesn't, the base is standard normal, of normalised latents, whose scale it
        holds where it was fitted: an encoder that heard neither of base and prior would gain
        entropy by growing without end. The prior takes the place of the base density, and of the
        rate only the negative entropy is left.
        """
        weight, posterior = self.training.weights.representation, encoding.posterior
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
        weight = self.training.weights.reference_kl
        return {"reference_kl": LossTerm(divergence, "latents", weight)}
