"""Autoregressive flow: affine flows across the latents of a block, given all blocks before.

References:
    Normalizing Flows are Capable Generative Models (Zhai et al., 2024), TarFlow,
    https://arxiv.org/abs/2412.06329; Glow (Kingma and Dhariwal, 2018), for the linear maps of the
    channels, https://arxiv.org/abs/1807.03039.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from colaflex.interfaces.component import Builder
from colaflex.interfaces.losses import Losses, LossTerm
from colaflex.interfaces.noise import Noise, SampleNoise
from colaflex.interfaces.options import SamplingOptions
from colaflex.interfaces.prior import Known
from colaflex.interfaces.values import LatentBatch
from colaflex.priors.affine_flow import AffineFlow, Places, moved
from colaflex.priors.causal_state import CausalStatePrior, denoised
from colaflex.priors.density_config import AutoregressiveFlowConfig

__all__ = ["AutoregressiveFlow"]


class AutoregressiveFlow(CausalStatePrior):
    """p(z) = ∏_b p(z^(b) | z^(<b)): a stack of affine flows over the positions of a block.

    A prompt's tail stands before the rest of its block as the blocks before do: the flows are over
    the free positions alone, and the causal state that they are conditioned on has read all else.
    """

    config: AutoregressiveFlowConfig

    def __init__(
        self, config: AutoregressiveFlowConfig, *, latent_dim: int, build: Builder
    ) -> None:
        super().__init__(config, latent_dim=latent_dim, build=build)
        self.config = config
        shape = (latent_dim, config.block_size, config.width, config.flow_layers, config.heads)
        self.flows = nn.ModuleList(
            AffineFlow(*shape, backwards=index % 2 == 1) for index in range(config.flows)
        )

    def log_density(self, context: Tensor, places: Places, free: Tensor) -> Tensor:
        """(rows,) nats: log p of the free positions of blocks.

        Args:
            context: (rows, width), the causal state in front of them.
            places: where they lie.
            free: (rows, block, dim), those positions brought to the front.
        """
        point, volume = free, torch.zeros_like(free[..., 0])
        for flow in self.flows:
            point, gained = flow(point, context, places)
            volume = volume + gained
        normal = -0.5 * (point.square() + math.log(2 * math.pi)).sum(-1)
        return torch.where(places.within(), normal + volume, 0.0).sum(1)

    def block_densities(
        self, values: Tensor, target: Tensor, mask: Tensor, pinned: Tensor | None = None
    ) -> Tensor:
        """(batch, blocks) nats: log p of each block's free latents given all that is before them.

        Args:
            values: (batch, segments, dim), what is conditioned on.
            target: of the same shape, what the density is of.
            mask: (batch, segments) bool, latents that count. Of a block with a latent that does
                not count before one that does, only those behind it are free.
            pinned: (batch, blocks) first free position of each block; 0 by default.
        """
        size = self.block_size
        learned = mask.unflatten(1, (-1, size))
        behind = torch.arange(1, size + 1, device=mask.device)
        end = torch.where(learned, behind, 0).amax(-1)
        first = torch.where(~learned & (behind < end[..., None]), behind, 0).amax(-1)
        if pinned is not None:
            first = torch.maximum(first, torch.minimum(pinned, end))
        start = torch.arange(end.shape[1], device=mask.device) * size
        before = (start + first.clamp(max=size - 1))[..., None]
        states = self.states(values)
        context = states.gather(1, before.expand(-1, -1, states.shape[-1])).flatten(0, 1)
        places = Places(first.flatten(), (end - first).flatten(), size)
        with torch.autocast(values.device.type, enabled=False):
            wide = self.opening.dtype
            blocks = target.to(wide).unflatten(1, (-1, size)).flatten(0, 1)
            free = moved(blocks, places.index())
            density = self.log_density(context.to(wide), places, free)
        return density.view(end.shape)

    def losses(self, latents: LatentBatch, noise: Noise | None = None) -> Losses:
        """One term, "nll": nats, mean over channels, per latent."""
        noise, config, values = noise or Noise(0), self.config, latents.values
        target = values
        if config.noise:
            target = values + config.noise * noise.normal("flow noise", values.shape, values)
        shape = (len(values), values.shape[1] // self.block_size, 2)
        draws = noise.uniform("flow prefix", shape, values)
        chosen = draws[..., 0] < config.pinned_blocks
        pinned = torch.where(chosen, (draws[..., 1] * self.block_size).long(), 0)
        # The history carries no gradient to the encoder (Cola DLM, section 2.2.3).
        density = self.block_densities(values.detach(), target, latents.mask, pinned)
        # Pinned prefixes of 0 to block - 1 positions do not count; their share is known beforehand.
        share = 1 - config.pinned_blocks * (self.block_size - 1) / (2 * self.block_size)
        return {"nll": LossTerm(-density.sum() / (share * self.latent_dim), "latents")}

    def log_prob(self, latents: LatentBatch) -> Tensor:
        """(batch,) exact log density in nats, over the latents of the mask.

        A block with a latent outside the mask before one inside counts from behind it.
        """
        return self.block_densities(latents.values, latents.values, latents.mask).sum(1)

    def sample_block(
        self,
        state: Any,
        noise: SampleNoise,
        options: SamplingOptions,
        known: Known | None = None,
    ) -> Tensor:
        """Invert the flows, each position by position; see `Prior.sample_block`."""
        del options
        size = self.block_size
        start = noise.normal("flow", (size, self.latent_dim), self.opening)
        first = torch.zeros(len(start), dtype=torch.int64, device=start.device)
        if known is not None:
            first = known.mask.sum(1)
            given = torch.where(known.mask[..., None], known.values.to(start), 0.0)
            state = self.commit(state, given, first)
        places = Places(first, size - first, size)
        with torch.autocast(start.device.type, enabled=False):
            context = state.state.to(start)
            free = start
            for flow in reversed(self.flows):
                free = cast("AffineFlow", flow).inverse(free, context, places)
            if self.config.noise:
                density = partial(self.log_density, context.detach(), places)
                free = denoised(density, free, self.config.noise)
        if known is None:
            return free
        back = (torch.arange(size, device=start.device) - first[:, None]).clamp(min=0)
        return torch.where(known.mask[..., None], given, moved(free, back))

    def network_evaluations(self, options: SamplingOptions) -> int:
        """Every flow is asked once a position, and once again where samples are denoised."""
        del options
        return self.config.flows * (self.block_size + bool(self.config.noise))

    def density_flops(self, batch: int, segments: int) -> int:
        """Model FLOPs of all flows over all blocks."""
        blocks = batch * segments // self.block_size
        return sum(cast("AffineFlow", flow).flops(blocks) for flow in self.flows)
