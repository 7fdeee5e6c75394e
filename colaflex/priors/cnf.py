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
from colaflex.priors.flow_config import CnfConfig
from colaflex.priors.flow_matching import FlowMatching, unlearned
from colaflex.priors.likelihood import Integration
from colaflex.priors.path_prior import SMALLEST_TIME

__all__ = ["Cnf"]

RUNGE_KUTTA_STAGES = 4


class WarmStart(PriorPhase):
    """Flow matching first: a field that is near the data's already costs fewer evaluations."""

    prior: Cnf

    def losses(self, latents: LatentBatch, noise: Noise) -> Losses:
        """Flow matching's."""
        return FlowMatching.losses(self.prior, latents, noise)

    def flops(self, batch: int, segments: int) -> int:
        """Flow matching's."""
        return FlowMatching.training_flops(self.prior, batch, segments)


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
        return [WarmStart(self, "warm_start", share), likelihood]

    def losses(self, latents: LatentBatch, noise: Noise | None = None) -> Losses:
        """One term, "nll": nats, mean over channels, per latent."""
        noise, config = noise or Noise(0), self.config
        drawn = self.draw_path(latents, noise, 1)
        path = replace(drawn, pinned=drawn.pinned | unlearned(self.blocks(latents.mask)))
        direction = None
        if config.divergence == "hutchinson":
            uniform = noise.uniform("flow divergence", path.data.shape, path.data)
            direction = torch.where(uniform < 0.5, -1.0, 1.0).to(path.data)
        # On a fixed grid the field learns to exploit the solver's error.
        shift = noise.of_step("flow grid") - 0.5
        integration = Integration(config.training_steps, direction, shift, self.density_start())
        density = self.path_density(self.history(latents), path, integration)
        total = torch.where(path.counted.any(-1), density, 0.0).sum()
        return {"nll": LossTerm(-total / (self.free_share(noise) * self.latent_dim), "latents")}

    def density_start(self) -> float:
        """One time for all models, which learn the density of what begins there."""
        return SMALLEST_TIME if self.knows_clean else 0.0

    def training_flops(self, batch: int, segments: int) -> int:
        """Model FLOPs of one step: evaluations, their divergences, and twice both backwards."""
        blocks, block = segments // self.block_size, self.block_size
        once = self.network.flops(batch, blocks, block, 1, 1)
        noisy = self.network.flops(batch, blocks, block, 2, 1) - once
        latents = batch * segments
        exact = self.config.divergence == "exact"
        pulls = block * self.latent_dim if exact else 1
        evaluations = RUNGE_KUTTA_STAGES * self.config.training_steps
        clean = once - noisy + self.past_flops(latents)
        ends = self.end_flops(latents)
        return 3 * (clean + evaluations * (1 + pulls) * (noisy + ends))
