"""Behind the prior's stages: the decoder learns to read latents as the prior expects them.

References:
    BLD (2026), a decoder trained further on clean latents and one-step predictions of the frozen
    prior, https://arxiv.org/abs/2610.09311.
"""

from __future__ import annotations

import torch
from torch import Tensor

from colaflex.interfaces.losses import Losses, LossTerm
from colaflex.interfaces.stage import ParameterGroup, StageStep
from colaflex.interfaces.values import LatentBatch, Segmentation, TokenBatch
from colaflex.latent.model import LatentModel
from colaflex.latent.stage import BlockStage
from colaflex.spec.training import ADAPTATION, Training

__all__ = ["AdaptationStage"]


class AdaptationStage(BlockStage):
    """The decoder's cross-entropy on the encoder's latents and on the prior's expectations of them.

    An expectation is a mean, which no text may have; the decoder learns what it stands for. All
    but the decoder rests, and what the decoder was stays in `LatentModel.unadapted`.

    Args:
        model: whose decoder learns.
        training: which share of the blocks it reads as the prior expects them.

    Raises:
        ValueError: the representation has no decoder that learns alone.
    """

    name = settings = ADAPTATION
    closing = True

    def __init__(self, model: LatentModel, training: Training) -> None:
        super().__init__(model, training.prompt_rows)
        self.share = 1.0
        self.mix = training.adapted_share
        learned = list(model.representation.decoder_parameters())
        if not learned:
            raise ValueError(
                f"{type(model.representation).__name__} has no decoder that learns alone"
            )
        self.groups = [ParameterGroup("decoder", learned)]

    def start(self) -> None:
        """Keep the decoder as it is now."""
        assert self.model.unadapted is not None
        self.model.unadapted.load_state_dict(self.model.representation.state_dict())

    def flops(self, batch: TokenBatch) -> int:
        """The encoder's, the prior's one look, and the decoder's with its backward pass."""
        model, latents = self.model, self.model.settled(batch).lengths.shape
        looked = model.prior.one_step_flops(*latents) if self.mix else 0
        encoded = self._representation_flops(batch, 0.0) + self._segmenter_flops(batch)
        return encoded + looked + 3 * model.representation.decoding_flops(*latents)

    def losses(self, batch: TokenBatch, step: StageStep) -> Losses:
        """Term "realisation", nats: the text of what is learned, by undisturbed latents."""
        model, segmentation = self.model, self.model.segment(batch)
        learned = self._learned(batch, segmentation)
        with torch.no_grad():
            content = model.representation.content(batch, segmentation)
            read = self._read(batch, segmentation, learned, content, step)
        costs = model.representation.costs(read, content)
        total = torch.where(learned, costs, 0.0).sum()
        return {"realisation": LossTerm(total, "tokens")}

    def _read(
        self,
        batch: TokenBatch,
        segmentation: Segmentation,
        learned: Tensor,
        content: Tensor,
        step: StageStep,
    ) -> Tensor:
        """(batch, segments, dim): raw latents, some of the blocks as the prior expects them."""
        model, noise = self.model, step.noise
        posterior = model.representation.encode(batch, segmentation)
        clean = posterior.sample(noise.normal("posterior", posterior.mean.shape, posterior.mean))
        if not self.mix:
            return clean
        told = content if model.prior.needs_content else None
        latents = LatentBatch(model.normalised(clean), learned, segmentation.level, content=told)
        expected = model.prior.one_step(latents, noise)
        if expected is None:
            raise ValueError(f"{type(model.prior).__name__} has no one-step predictions")
        block = model.prior.block_size
        drawn = noise.uniform("adapted blocks", (len(clean), clean.shape[1] // block), clean)
        chosen = (drawn < self.mix).repeat_interleave(block, 1)
        return torch.where(chosen[..., None], model.raw(expected), clean)
