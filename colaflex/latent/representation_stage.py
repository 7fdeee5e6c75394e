"""Stage 1: the representation learns, and with it the segmenter."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import torch

from colaflex.interfaces.losses import Counts, Losses
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.stage import ParameterGroup, StageStep
from colaflex.interfaces.values import TokenBatch
from colaflex.latent.model import LatentModel
from colaflex.latent.stage import LatentStage
from colaflex.latent.whole_blocks import completed

__all__ = ["STATISTICS_BATCHES", "RepresentationStage"]

END_SEGMENTS = 4
"""Documents are completed with end-of-text to a multiple of so many segments.

Of two levels, of the fewest whole groups with so many.
"""

CUT_ROWS = 0.25
"""Share of the rows with a segment cut at a random token, to learn short segments."""

STATISTICS_BATCHES = 32
"""Batches from which the latents' shift and scale are fitted at the end."""


class RepresentationStage(LatentStage):
    """The representation's own losses; at the end, shift and scale of the latents are fitted."""

    name = settings = "representation"

    def __init__(self, model: LatentModel) -> None:
        super().__init__(model)
        parts = (*model.segmenter.parameters(), *model.representation.parameters())
        self.groups = [ParameterGroup("representation", parts)]

    def prepare(self, batch: TokenBatch, step: StageStep) -> TokenBatch:
        """Rows of whole segments, in a share of which one is cut short."""
        group = self.model.segments.group
        end = -(-END_SEGMENTS // group) * group
        return completed(self.model, batch, end, CUT_ROWS, step.noise)

    def counts(self, batch: TokenBatch) -> Counts:
        """All latents are learned."""
        return self._counts(batch, self.model.settled(batch).mask)

    def flops(self, batch: TokenBatch) -> int:
        """Forward and backward of both."""
        return self._representation_flops(batch, 1.0) + 3 * self._segmenter_flops(batch)

    def losses(self, batch: TokenBatch, step: StageStep) -> Losses:
        """The representation's losses, and what holds the segmenter to its aims."""
        segmentation = self.model.segment(batch)
        encoding = self.model.representation.losses(batch, segmentation, step.noise)
        return {
            **encoding.losses,
            **self.model.segmenter.losses(batch, segmentation),
            **self._statistics(encoding.posterior, segmentation.mask),
        }

    def fit(self, batches: Iterator[TokenBatch]) -> None:
        """Constants of the representation itself."""
        model, some = self.model, islice(batches, STATISTICS_BATCHES)
        model.representation.fit((batch, model.segment(batch)) for batch in some)

    @torch.no_grad()
    def finish(self, batches: Iterator[TokenBatch]) -> None:
        """Fit shift and scale so that sampled latents have mean 0 and mean square 1."""
        model = self.model
        total = torch.zeros(2, len(model.shift), dtype=torch.float64, device=model.device)
        count = 0
        for index, batch in enumerate(islice(batches, STATISTICS_BATCHES)):
            segmentation = model.segment(batch)
            posterior = model.representation.encode(batch, segmentation)
            noise = Noise(0, index, "border").normal("z", posterior.mean.shape, posterior.mean)
            sample = posterior.sample(noise)[segmentation.mask].double()
            total += torch.stack([sample.sum(0), sample.square().sum(0)])
            count += len(sample)
        if not count:
            return  # a stage of no steps leaves the border as it is
        mean, square = total / count
        model.shift.copy_(mean)
        model.scale.copy_((square - mean.square()).clamp(min=1e-8).rsqrt())
