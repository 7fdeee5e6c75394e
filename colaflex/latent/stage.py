"""What the stages of a latent model have in common."""

from __future__ import annotations

import torch
from torch import Tensor

from colaflex.interfaces.losses import Counts, Losses, LossTerm
from colaflex.interfaces.stage import Stage
from colaflex.interfaces.values import Posterior, TokenBatch
from colaflex.latent.model import LatentModel

__all__ = ["LatentStage"]


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

    def _representation_flops(self, batch: TokenBatch, passes: float) -> int:
        """Of so many forward passes, a backward pass being two; what is frozen has one."""
        representation, shape = self.model.representation, self.model.settled(batch).lengths.shape
        frozen = representation.frozen_flops(*shape)
        learned = representation.flops(*shape) - frozen
        learned += representation.token_flops(*batch.tokens.shape)
        return int(frozen + passes * learned)

    def _segmenter_flops(self, batch: TokenBatch) -> int:
        return self.model.segmenter.flops(*batch.tokens.shape)
