"""Continuous normalizing flow: a velocity field fitted by maximum likelihood.

References:
    Neural Ordinary Differential Equations (Chen et al., 2018), https://arxiv.org/abs/1806.07366;
    FFJORD (Grathwohl et al., 2019), https://arxiv.org/abs/1810.01367.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import torch

from colaflex.interfaces.conformance import Conformance
from colaflex.interfaces.losses import Losses, LossTerm
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.prior import PriorPhase
from colaflex.interfaces.values import LatentBatch
from colaflex.priors.denoiser import SMALLEST_TIME
from colaflex.priors.flow_config import CnfConfig
from colaflex.priors.flow_matching import FlowMatching
from colaflex.priors.ode_density import Integration, path_density
from colaflex.priors.path import draw_masks, unlearned
from colaflex.priors.path_prior import MatchingPhase

__all__ = ["Cnf"]

RUNGE_KUTTA_STAGES = 4


class Cnf(FlowMatching):
    """Maximises log p of the data along the ODE that samples it, after a start by flow matching."""

    config: CnfConfig
    conformance: ClassVar[Conformance] = Conformance(options={"training_steps": 2})
    learns_ends: ClassVar[bool] = False

    def phases(self, teacher_fraction: float = 0.5) -> Sequence[PriorPhase]:
        """Flow matching for the share `warm_start`, then maximum likelihood."""
        del teacher_fraction
        share = self.config.warm_start
        if not share:
            return [PriorPhase(self)]
        likelihood = PriorPhase(self, share=1.0 - share, lr_ratio=self.config.likelihood_rate)
        return [MatchingPhase(self, "warm_start", share), likelihood]

    def losses(self, latents: LatentBatch, noise: Noise | None = None) -> Losses:
        """One term, "nll": nats, mean over channels, per latent."""
        noise, config = noise or Noise(0), self.config
        data, mask = self.blocks(latents.values), self.blocks(latents.mask)
        masks = draw_masks(config, noise, 1, data, mask)
        masks = replace(masks, pinned=masks.pinned | unlearned(mask))
        direction = None
        if config.divergence == "hutchinson":
            uniform = noise.uniform("flow divergence", data.shape, data)
            direction = torch.where(uniform < 0.5, -1.0, 1.0).to(data)
        # On a fixed grid the field learns to exploit the solver's error.
        shift = noise.of_step("flow grid") - 0.5
        integration = Integration(config.training_steps, direction, shift, self.density_start())
        past = self.denoiser.past(self.history(latents))
        density = path_density(self.denoiser, past, data, masks, integration)
        total = torch.where(masks.counted.any(-1), density, 0.0).sum()
        return {"nll": LossTerm(-total / (self.free_share(noise) * self.latent_dim), "latents")}

    def density_start(self) -> float:
        """One time for all models, which learn the density of what begins there."""
        return SMALLEST_TIME if self.denoiser.knows_clean else 0.0

    def training_flops(self, batch: int, segments: int) -> int:
        """Model FLOPs of one step: evaluations, their divergences, and twice both backwards."""
        blocks, block, latents = segments // self.block_size, self.block_size, batch * segments
        once = self.network.flops(batch, blocks, block, 1, 1)
        noisy = self.network.flops(batch, blocks, block, 2, 1) - once
        pulls = block * self.latent_dim if self.config.divergence == "exact" else 1
        evaluations = RUNGE_KUTTA_STAGES * self.config.training_steps
        clean = once - noisy + self.denoiser.past_flops(latents)
        ends = self.denoiser.end_flops(latents)
        return 3 * (clean + evaluations * (1 + pulls) * (noisy + ends))
