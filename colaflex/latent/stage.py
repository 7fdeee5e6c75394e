"""What the stages of a latent model have in common."""

from __future__ import annotations

import torch
from torch import Tensor

from colaflex.interfaces.losses import Counts, Losses, LossTerm
from colaflex.interfaces.stage import Stage, StageStep
from colaflex.interfaces.values import Posterior, Segmentation, TokenBatch
from colaflex.latent.model import LatentModel
from colaflex.latent.whole_blocks import completed, learned_segments

__all__ = ["BlockStage", "LatentStage"]


class LatentStage(Stage):
    """A stage that trains parts of a latent model.

    Args:
        model: whose parts learn.
    """

    def __init__(self, model: LatentModel) -> None:
        self.model = model

    def _counts(self, batch: TokenBatch, latents: Tensor) -> Counts:
        """The divisors, where a mask says which latents are learned."""
        return {
            "tokens": int(batch.lengths.sum()),
            "latents": int(latents.sum()),
            "rows": len(batch.lengths),
        }

    def _normalised(self, posterior: Posterior) -> Posterior:
        return posterior.normalised(self.model.shift, self.model.scale)

    def _statistics(self, posterior: Posterior, mask: Tensor) -> Losses:
        """Second moments of the normalised means and of sigma: reported, not optimised.

        Their log ratio is the logSNR (the scale cancels where it is one for all channels); a mean
        square that leaves 1 is drift.
        """
        with torch.no_grad():
            normalised = self._normalised(posterior)
            terms = {"latent_mean_square": normalised.mean[mask].square().mean(-1).sum()}
            if normalised.log_variance is not None:
                variance = normalised.log_variance.expand_as(normalised.mean)[mask].exp()
                terms["latent_noise"] = variance.mean(-1).sum()
        return {name: LossTerm(total, "latents", 0.0) for name, total in terms.items()}

    def _representation_flops(self, batch: TokenBatch, learning: float) -> int:
        """Where it learns in so large a share of the steps; what is frozen has no backward pass.

        Where it rests, only its encoder runs, about half of it, and none of its teachers.
        """
        passes = 3 * learning + 0.5 * (1 - learning)
        representation, shape = self.model.representation, self.model.settled(batch).lengths.shape
        frozen = representation.frozen_flops(*shape)
        learned = representation.flops(*shape) - frozen
        learned += representation.token_flops(*batch.tokens.shape)
        idle = (1 - learning) * representation.teacher_flops(*shape)
        return int(frozen + passes * learned) - int(idle)

    def _segmenter_flops(self, batch: TokenBatch) -> int:
        return self.model.segmenter.flops(*batch.tokens.shape)


class BlockStage(LatentStage):
    """A stage that learns from rows of whole blocks, as the prior generates them.

    Args:
        model: whose parts learn.
        prompt_rows: share of the rows in which a boundary is forced as by a prompt's end.
    """

    def __init__(self, model: LatentModel, prompt_rows: float) -> None:
        super().__init__(model)
        self.prompt_rows = prompt_rows

    def prepare(self, batch: TokenBatch, step: StageStep) -> TokenBatch:
        """Rows of whole blocks, in a share of which a boundary is forced as by a prompt's end."""
        cut = step.noise.in_some_steps(self.prompt_rows)
        return completed(self.model, batch, self.model.prior.block_size, cut, step.noise)

    def counts(self, batch: TokenBatch) -> Counts:
        """Latents that are generated, not only given."""
        return self._counts(batch, self._learned(batch, self.model.settled(batch)))

    def _learned(self, batch: TokenBatch, segmentation: Segmentation) -> Tensor:
        return learned_segments(batch, segmentation, self.model.prior.block_size)
