"""Base of priors conditioned by a causal state: what a transformer makes of the latents before."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from colaflex.interfaces.component import Builder
from colaflex.interfaces.one_line import one_line
from colaflex.interfaces.prior import Prior
from colaflex.networks.cache import Cache
from colaflex.networks.causal import CausalTransformer
from colaflex.priors.density_config import CausalStateConfig

__all__ = ["CausalStatePrior", "Prefix", "denoised"]


@dataclass(frozen=True, slots=True)
class Prefix:
    """What stands before the next latent.

    Attributes:
        cache: the transformer's.
        state: (rows, width), the causal state that the next latent is drawn from.
    """

    cache: Cache
    state: Tensor

    __repr__ = one_line


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

    def begin(self, rows: int) -> Any:
        """The state of an empty prefix."""
        cache = self.trunk.begin(rows, self.opening)
        states, cache = self.trunk.extend(self.opening.expand(rows, 1, -1), cache)
        return Prefix(cache, states[:, -1])

    def commit(self, state: Any, latents: Tensor, counts: Tensor | None = None) -> Any:
        """Append clean latents to the prefix; here `counts` may be any number."""
        if not latents.shape[1]:
            return state
        states, cache = self.trunk.extend(self.lift(latents), state.cache, counts)
        if counts is None:
            return Prefix(cache, states[:, -1])
        last = (counts - 1).clamp(min=0)[:, None, None].expand(-1, 1, states.shape[-1])
        fresh = states.gather(1, last)[:, 0]
        return Prefix(cache, torch.where(counts[:, None] > 0, fresh, state.state))

    def select(self, state: Any, rows: Tensor) -> Any:
        """The prefix of some of the rows."""
        return Prefix(state.cache.select(rows), state.state[rows])

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
