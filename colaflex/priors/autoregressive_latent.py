"""Autoregressive prior: one latent at a time, given all latents before it.

References:
    GIVT (Tschannen et al., 2023), https://arxiv.org/abs/2312.02116; MAR (Li et al., 2024),
    https://arxiv.org/abs/2406.11838; CALM (Shao et al., 2025), https://arxiv.org/abs/2510.27688.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from colaflex.interfaces.component import Builder
from colaflex.interfaces.losses import Losses, LossTerm
from colaflex.interfaces.noise import Noise, SampleNoise
from colaflex.interfaces.options import SamplingOptions
from colaflex.interfaces.prior import Known, Prior
from colaflex.interfaces.values import LatentBatch
from colaflex.networks.causal import CausalTransformer
from colaflex.priors.causal_state import CausalPrefix
from colaflex.priors.density_config import AutoregressiveLatentConfig
from colaflex.priors.heads.diffusion import Diffusion
from colaflex.priors.heads.energy import Energy
from colaflex.priors.heads.gaussian_mixture import GaussianMixture
from colaflex.priors.heads.head import Head

__all__ = ["AutoregressiveLatent"]

HEADS: dict[str, Callable[..., Head]] = {
    "gaussian_mixture": GaussianMixture,
    "diffusion": Diffusion,
    "energy": Energy,
}


class AutoregressiveLatent(Prior):
    """p(z) = ∏_i p(z_i | z_<i): a causal transformer, and a head for one latent.

    Blocks group what is committed and change no distribution. Known positions of a block are heard
    by the positions behind them.
    """

    def __init__(
        self, config: AutoregressiveLatentConfig, *, latent_dim: int, build: Builder
    ) -> None:
        super().__init__()
        self.config, self.latent_dim, self.block_size = config, latent_dim, config.block_size
        shape = config.transformer
        self.transformer = CausalTransformer(
            shape.width, shape.layers, shape.heads, shape.feed_forward_ratio
        )
        self.lift = nn.Linear(latent_dim, shape.width)
        self.start = nn.Parameter(0.02 * torch.randn(shape.width))
        options = getattr(config, config.head)
        self.head = HEADS[config.head](
            options, width=shape.width, latent_dim=latent_dim, build=build
        )

    # Training.

    def losses(self, latents: LatentBatch, noise: Noise | None = None) -> Losses:
        """One term, the head's, per latent."""
        values = latents.values
        per_position = self.head.losses(self._states(values), values, noise or Noise(0))
        total = torch.where(latents.mask, per_position, 0.0).sum()
        # A density adds up over channels; other priors' losses are means over them.
        weight = 1.0 / self.latent_dim if self.head.term == "nll" else 1.0
        return {self.head.term: LossTerm(total, "latents", weight)}

    def _states(self, values: Tensor) -> Tensor:
        """(batch, positions, width): the state before each latent."""
        # The history carries no gradient to the encoder, as in other priors.
        history = self.lift(values[:, :-1].detach())
        start = self.start.to(history.dtype).expand(len(values), 1, -1)
        states: Tensor = self.transformer(torch.cat([start, history], 1))
        return states

    def log_prob(self, latents: LatentBatch) -> Tensor:
        """(batch,) log density of the learned latents in nats, others before them given."""
        if self.config.capabilities().likelihood == "none":
            return super().log_prob(latents)
        density = self.head.log_prob(self._states(latents.values), latents.values)
        return torch.where(latents.mask, density, 0.0).sum(1)

    def training_flops(self, batch: int, segments: int) -> int:
        """Model FLOPs of one training step."""
        lift = 2 * batch * (segments - 1) * self.lift.weight.numel()
        transformer = self.transformer.flops(batch, segments)
        return 3 * (transformer + lift + self.head.flops(batch * segments))

    # Sampling.

    def begin(self, rows: int) -> CausalPrefix:
        """A prefix that holds the start alone."""
        return CausalPrefix.empty(self.transformer, self.start, rows)

    def commit(
        self, state: CausalPrefix, latents: Tensor, counts: Tensor | None = None
    ) -> CausalPrefix:
        """Append clean latents to the prefix."""
        return state.extended(self.transformer, self.lift(latents), counts)

    def select(self, state: CausalPrefix, rows: Tensor) -> CausalPrefix:
        """The prefix of some of the rows."""
        return state.select(rows)

    @torch.no_grad()
    def sample_block(
        self,
        state: CausalPrefix,
        noise: SampleNoise,
        options: SamplingOptions,
        known: Known | None = None,
    ) -> Tensor:
        """Draw the block's latents one after the other; see `Prior.sample_block`."""
        drawn: list[Tensor] = []
        for position in range(self.block_size):
            latent = self.head.sample(state.state, noise, position, options.steps)
            if known is not None:
                pinned = known.mask[:, position, None]
                latent = torch.where(pinned, known.values[:, position].to(latent), latent)
            drawn.append(latent)
            if position < self.block_size - 1:
                state = self.commit(state, latent[:, None])
        return torch.stack(drawn, 1)

    def network_evaluations(self, options: SamplingOptions) -> int | None:
        """Evaluations per block: as many for each latent as its head takes.

        The transformer runs once a latent, along with the head's first evaluation.
        """
        return self.block_size * self.head.evaluations(options.steps)
