"""Normalizing flow: an exact density of each latent, given all latents before it.

References:
    Masked Autoregressive Flow (Papamakarios et al., 2017), https://arxiv.org/abs/1705.07057;
    Neural Spline Flows (Durkan et al., 2019), https://arxiv.org/abs/1906.04032.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from zuko.distributions import DiagNormal
from zuko.flows import MaskedAutoregressiveTransform
from zuko.lazy import Flow, UnconditionalDistribution
from zuko.transforms import MonotonicAffineTransform, MonotonicRQSTransform

from colaflex.interfaces.component import Builder
from colaflex.interfaces.losses import Losses, LossTerm
from colaflex.interfaces.noise import Noise, SampleNoise
from colaflex.interfaces.options import SamplingOptions
from colaflex.interfaces.prior import Known
from colaflex.interfaces.values import LatentBatch
from colaflex.priors.causal_state import CausalPrefix, CausalStatePrior, denoised
from colaflex.priors.density_config import NormalizingFlowConfig

__all__ = ["NormalizingFlow"]


class NormalizingFlow(CausalStatePrior):
    """p(z) = ∏_i p(z_i | z_<i): a flow over the channels of z_i, set by the causal state."""

    config: NormalizingFlowConfig

    def __init__(self, config: NormalizingFlowConfig, *, latent_dim: int, build: Builder) -> None:
        super().__init__(config, latent_dim=latent_dim, build=build)
        self.config = config
        self.flow = channel_flow(config, latent_dim)

    def log_density(self, states: Tensor, latents: Tensor) -> Tensor:
        """(...) nats: log p of latents (..., dim) given their states (..., width)."""
        wide = self.opening.dtype
        # Splines and sums of logarithms ask for more than bf16 has.
        with torch.autocast(latents.device.type, enabled=False):
            density: Tensor = self.flow(states.to(wide)).log_prob(latents.to(wide))
        return density

    def losses(self, latents: LatentBatch, noise: Noise | None = None) -> Losses:
        """One term, "nll": nats, mean over channels, per latent."""
        values = latents.values
        target = values
        if self.config.noise:
            drawn = (noise or Noise(0)).normal("flow noise", values.shape, values)
            target = values + self.config.noise * drawn
        # The history carries no gradient to the encoder (Cola DLM, section 2.2.3).
        density = self.log_density(self.states(values.detach()), target)
        total = torch.where(latents.mask, density, 0.0).sum()
        return {"nll": LossTerm(-total / self.latent_dim, "latents")}

    def log_prob(self, latents: LatentBatch) -> Tensor:
        """(batch,) exact log density in nats, over the latents of the mask."""
        density = self.log_density(self.states(latents.values), latents.values)
        return torch.where(latents.mask, density, 0.0).sum(1)

    def sample_block(
        self,
        state: CausalPrefix,
        noise: SampleNoise,
        options: SamplingOptions,
        known: Known | None = None,
    ) -> Tensor:
        """One latent after the other; see `Prior.sample_block`."""
        del options
        start = noise.normal("flow", (self.block_size, self.latent_dim), self.opening)
        drawn: list[Tensor] = []
        for place in range(self.block_size):
            if drawn:
                state = self.commit(state, drawn[-1][:, None])
            latent = self._latent(state.state, start[:, place])
            if known is not None:
                pinned = known.mask[:, place, None]
                latent = torch.where(pinned, known.values[:, place].to(latent), latent)
            drawn.append(latent)
        return torch.stack(drawn, 1)

    def _latent(self, state: Tensor, start: Tensor) -> Tensor:
        """The latent that the flow makes of noise, (rows, dim), denoised if it learned with it."""
        with torch.autocast(start.device.type, enabled=False):
            latent: Tensor = self.flow(state.to(start)).transform.inv(start)
        if not self.config.noise:
            return latent
        return denoised(partial(self.log_density, state.detach()), latent, self.config.noise)

    def network_evaluations(self, options: SamplingOptions) -> int:
        """One a latent, whatever the steps."""
        del options
        return self.block_size

    def density_flops(self, batch: int, segments: int) -> int:
        """Model FLOPs of the networks that set the transforms."""
        linear: int = sum(weight.numel() for weight in self.flow.parameters() if weight.ndim > 1)
        return 2 * batch * segments * linear


def channel_flow(config: NormalizingFlowConfig, dim: int) -> Any:
    """A flow over `dim` channels given a state: the standard normal until it has learned."""
    passes = dim if config.channels == "autoregressive" else 2
    forth = torch.arange(dim)
    shared = {
        "features": dim,
        "context": config.width,
        "passes": passes,
        "hidden_features": (config.hidden_width, config.hidden_width),
    }
    spline = {
        "univariate": MonotonicRQSTransform,
        "shapes": [(config.bins,), (config.bins,), (config.bins - 1,)],
    }
    affine = {"univariate": MonotonicAffineTransform, "shapes": [(), ()]}
    kinds = [affine, *[spline if config.transform == "spline" else affine] * config.transforms]
    transforms = [
        MaskedAutoregressiveTransform(order=forth.flip(0) if index % 2 else forth, **shared, **kind)
        for index, kind in enumerate(kinds)
    ]
    for transform in transforms:
        nn.init.zeros_(transform.hyper[-1].weight)
        nn.init.zeros_(transform.hyper[-1].bias)
    base = UnconditionalDistribution(DiagNormal, torch.zeros(dim), torch.ones(dim), buffer=True)
    return Flow(transforms, base)
