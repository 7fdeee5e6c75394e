"""Base of priors conditioned by a causal state: what a transformer makes of the latents before."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from colaflex.interfaces.component import Builder
from colaflex.interfaces.one_line import one_line
from colaflex.interfaces.prior import Prior
from colaflex.networks.cache import Cache
from colaflex.networks.causal import CausalTransformer
from colaflex.priors.density_config import CausalStateConfig

__all__ = ["CausalPrefix", "CausalStatePrior", "denoised"]


@dataclass(frozen=True, slots=True)
class CausalPrefix:
    """What stands before the next latent.

    Attributes:
        cache: the transformer's.
        state: (rows, width), the causal state that the next latent is drawn from.
    """

    cache: Cache
    state: Tensor

    __repr__ = one_line

    @classmethod
    def empty(cls, transformer: CausalTransformer, opening: Tensor, rows: int) -> CausalPrefix:
        """Of rows without latents, where `opening` (width,) stands in front of all."""
        cache = transformer.begin(rows, opening)
        states, cache = transformer.extend(opening.expand(rows, 1, -1), cache)
        return cls(cache, states[:, -1])

    def extended(
        self, transformer: CausalTransformer, lifted: Tensor, counts: Tensor | None
    ) -> CausalPrefix:
        """The prefix and some latents, lifted (rows, n, width); of each row so many count."""
        if not lifted.shape[1]:
            return self
        states, cache = transformer.extend(lifted, self.cache, counts)
        if counts is None:
            return CausalPrefix(cache, states[:, -1])
        last = (counts - 1).clamp(min=0)[:, None, None].expand(-1, 1, states.shape[-1])
        fresh = states.gather(1, last)[:, 0]
        return CausalPrefix(cache, torch.where(counts[:, None] > 0, fresh, self.state))

    def select(self, rows: Tensor) -> CausalPrefix:
        """That of some of the rows."""
        return CausalPrefix(self.cache.select(rows), self.state[rows])


class CausalStatePrior(Prior):
    """Prior whose densities are conditioned by the causal state of all latents before.

    Example:
        >>> prior = colaflex.build("prior", "normalizing_flow", latent_dim=8, width=32)
        >>> isinstance(prior, CausalStatePrior), prior.states(torch.zeros(3, 6, 8)).shape
        (True, torch.Size([3, 6, 32]))
    """

    def __init__(self, config: CausalStateConfig, *, latent_dim: int, build: Builder) -> None:
        super().__init__()
        del build
        self.latent_dim, self.block_size = latent_dim, config.block_size
        self.lift = nn.Linear(latent_dim, config.width)
        self.opening = nn.Parameter(torch.randn(config.width))
        self.trunk = CausalTransformer(
            config.width, config.layers, config.heads, config.feed_forward_ratio
        )

    def states(self, values: Tensor) -> Tensor:
        """The causal state in front of every latent.

        Args:
            values: (batch, segments, dim).

        Returns:
            (batch, segments, width); the first is that of an empty prefix.
        """
        opening = self.opening.expand(len(values), 1, -1)
        states: Tensor = self.trunk(torch.cat([opening, self.lift(values[:, :-1])], 1))
        return states[:, : values.shape[1]]

    def begin(self, rows: int) -> CausalPrefix:
        """The state of an empty prefix."""
        return CausalPrefix.empty(self.trunk, self.opening, rows)

    def commit(
        self, state: CausalPrefix, latents: Tensor, counts: Tensor | None = None
    ) -> CausalPrefix:
        """Append clean latents to the prefix; here `counts` may be any number."""
        return state.extended(self.trunk, self.lift(latents), counts)

    def select(self, state: CausalPrefix, rows: Tensor) -> CausalPrefix:
        """The prefix of some of the rows."""
        return state.select(rows)

    def training_flops(self, batch: int, segments: int) -> int:
        """Model FLOPs of one training step."""
        lift = 2 * batch * segments * self.lift.weight.numel()
        return 3 * (self.trunk.flops(batch, segments) + lift + self.density_flops(batch, segments))

    @abstractmethod
    def density_flops(self, batch: int, segments: int) -> int:
        """Model FLOPs of the densities of all latents, given their states."""


def denoised(log_density: Callable[[Tensor], Tensor], noisy: Tensor, deviation: float) -> Tensor:
    """E[z | z + noise] by Tweedie's formula: noisy + deviation² ∇ log p(noisy).

    Args:
        log_density: of noisy latents, in nats; each row's depends on that row alone.
        noisy: (rows, ...).
        deviation: standard deviation of the noise, in latent units.

    References:
        Tweedie's Formula and Selection Bias (Efron, 2011),
        https://doi.org/10.1198/jasa.2011.tm11181.
    """
    with torch.enable_grad():
        at = noisy.detach().requires_grad_()
        (score,) = torch.autograd.grad(log_density(at).sum(), at)
    return noisy + deviation**2 * score
