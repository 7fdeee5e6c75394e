"""Autoregressive flow: affine flows across the latents of a block, given all blocks before.

References:
    Normalizing Flows are Capable Generative Models (Zhai et al., 2024), TarFlow,
    https://arxiv.org/abs/2412.06329; Glow (Kingma and Dhariwal, 2018), for the linear maps of the
    channels, https://arxiv.org/abs/1807.03039.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from zuko.transforms import LULinearTransform, MonotonicAffineTransform

from colaflex.interfaces.component import Builder
from colaflex.interfaces.losses import Losses, LossTerm
from colaflex.interfaces.noise import Noise, SampleNoise
from colaflex.interfaces.one_line import one_line
from colaflex.interfaces.options import SamplingOptions
from colaflex.interfaces.prior import Known
from colaflex.interfaces.values import LatentBatch
from colaflex.networks.causal import CausalTransformer
from colaflex.priors.causal_state import CausalPrefix, CausalStatePrior, denoised
from colaflex.priors.density_config import AutoregressiveFlowConfig

__all__ = ["AffineFlow", "AutoregressiveFlow", "Places"]


@dataclass(frozen=True, slots=True)
class Places:
    """Which positions of each block a flow is over: a run of them, brought to the front.

    Attributes:
        first: (rows,) position in the block at which the run begins.
        count: (rows,) its length.
        size: positions of a block.
    """

    first: Tensor
    count: Tensor
    size: int

    __repr__ = one_line

    def within(self) -> Tensor:
        """(rows, size) bool: steps that belong to the run."""
        return self._steps() < self.count[:, None]

    def index(self) -> Tensor:
        """(rows, size): the block's position of each step; arbitrary behind the run."""
        return (self.first[:, None] + self._steps()).clamp(max=self.size - 1)

    def order(self, backwards: bool) -> Tensor:
        """(rows, size): the steps forwards, or the run's backwards; its own inverse."""
        steps = self._steps().expand(len(self.count), -1)
        return torch.where(self.within() & backwards, self.count[:, None] - 1 - steps, steps)

    def _steps(self) -> Tensor:
        return torch.arange(self.size, device=self.count.device)


class AffineFlow(nn.Module):
    """u_j = (W z)_j · exp(a_j) + b_j with a_j, b_j of the context and (W z)_<j; W mixes channels.

    The identity until it has learned. Positions come in order, or `backwards`.
    """

    def __init__(
        self, dim: int, size: int, width: int, layers: int, heads: int, *, backwards: bool
    ) -> None:
        super().__init__()
        self.backwards = backwards
        self.mixing = nn.Parameter(torch.eye(dim))
        self.context = nn.Linear(width, width)
        self.lift = nn.Linear(dim, width)
        self.place = nn.Parameter(torch.randn(size, width))
        self.transformer = CausalTransformer(width, layers, heads)
        self.head = nn.Linear(width, 2 * dim)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, z: Tensor, context: Tensor, places: Places) -> tuple[Tensor, Tensor]:
        """Towards noise.

        Args:
            z: (rows, size, dim), of which a run counts.
            context: (rows, width).
            places: the run, brought to the front.

        Returns:
            What z becomes, and (rows, size) the log determinant's part of every position.
        """
        order = places.order(self.backwards)
        mixed, volume = LULinearTransform(self.mixing).call_and_ladj(by_position(z, order))
        inputs = self._queries(context, places, order)
        inputs = inputs + nn.functional.pad(self.lift(mixed[:, :-1]), (0, 0, 1, 0))
        u, stretch = self._affine(self.transformer(inputs)).call_and_ladj(mixed)
        return by_position(u, order), by_position((volume + stretch.sum(-1))[..., None], order)[
            ..., 0
        ]

    def inverse(self, u: Tensor, context: Tensor, places: Places) -> Tensor:
        """From noise, one position after the other."""
        order = places.order(self.backwards)
        queries, ordered = self._queries(context, places, order), by_position(u, order)
        cache, mixed = self.transformer.begin(len(u), queries), list[Tensor]()
        for step in range(u.shape[1]):
            inputs = queries[:, step] + self.lift(mixed[-1]) if mixed else queries[:, step]
            states, cache = self.transformer.extend(inputs[:, None], cache)
            mixed.append(self._affine(states[:, 0]).inv(ordered[:, step]))
        z: Tensor = LULinearTransform(self.mixing).inv(torch.stack(mixed, 1))
        return by_position(z, order)

    def flops(self, blocks: int) -> int:
        """Model FLOPs of `forward` over so many blocks."""
        size, linear = len(self.place), self.lift.weight.numel() + self.head.weight.numel()
        linear = size * (linear + self.mixing.numel()) + self.context.weight.numel()
        return self.transformer.flops(blocks, size) + 2 * blocks * linear

    def _queries(self, context: Tensor, places: Places, order: Tensor) -> Tensor:
        """(rows, size, width): the context, and which position of the block is asked for."""
        queries: Tensor = (
            self.context(context)[:, None] + self.place[places.index().gather(1, order)]
        )
        return queries

    def _affine(self, states: Tensor) -> MonotonicAffineTransform:
        shift, scale = self.head(states).chunk(2, -1)
        return MonotonicAffineTransform(shift, scale)


def by_position(x: Tensor, index: Tensor) -> Tensor:
    """Positions of (rows, size, dim) by their index (rows, size)."""
    return x.gather(1, index[..., None].expand_as(x))


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
            free = by_position(blocks, places.index())
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
        state: CausalPrefix,
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
            values = torch.where(known.mask[..., None], known.values.to(start), 0.0)
            state = self.commit(state, values, first)
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
        return torch.where(known.mask[..., None], values, by_position(free, back))

    def network_evaluations(self, options: SamplingOptions) -> int:
        """Every flow is asked once a position, and once again where samples are denoised."""
        del options
        return self.config.flows * (self.block_size + bool(self.config.noise))

    def density_flops(self, batch: int, segments: int) -> int:
        """Model FLOPs of all flows over all blocks."""
        blocks = batch * segments // self.block_size
        return sum(cast("AffineFlow", flow).flops(blocks) for flow in self.flows)
