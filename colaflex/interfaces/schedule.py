"""Schedule: the law of the times at which a prior on paths learns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from math import prod

import torch
from torch import Tensor, nn

from colaflex.interfaces.configs import ScheduleConfig
from colaflex.interfaces.noise import Noise

__all__ = ["Schedule"]


class Schedule(nn.Module, ABC):
    """A law on [0, 1]: t = 1 is noise, t = 0 data.

    Args:
        config: its options.
        latent_dim: channels of one latent.

    Example:
        >>> from colaflex.interfaces.configs import ScheduleConfig
        >>> from colaflex.interfaces.noise import Noise
        >>> class Squared(Schedule):
        ...     def quantile(self, shares):
        ...         return shares.square()
        >>> schedule = Squared(ScheduleConfig(stratified=True), latent_dim=16)
        >>> schedule.quantile(torch.tensor([0.0, 0.5, 1.0]))
        tensor([0.0000, 0.2500, 1.0000])
        >>> times = schedule.draw(Noise(seed=0), (4, 1), torch.zeros(1), "times")
        >>> times.sqrt().sort(0).values.mul(4).floor().flatten()  # one out of each quarter
        tensor([0., 1., 2., 3.])
    """

    def __init__(self, config: ScheduleConfig, *, latent_dim: int) -> None:
        super().__init__()
        self.config, self.latent_dim = config, latent_dim

    @abstractmethod
    def quantile(self, shares: Tensor) -> Tensor:
        """The time below which a share of the law lies, rising with it: 0 at 0, 1 at 1.

        Args:
            shares: in [0, 1], of any shape; the times have their dtype.
        """

    def draw(self, noise: Noise, shape: Sequence[int], like: Tensor, purpose: str) -> Tensor:
        """Times of a training step.

        Args:
            noise: of the step.
            shape: of the times; the first counts rows.
            like: tells device and dtype.
            purpose: keys the draws.
        """
        if self.config.stratified:
            return self.quantile(strata(noise, shape, like, purpose))
        return self.drawn(noise, shape, like, purpose)

    def drawn(self, noise: Noise, shape: Sequence[int], like: Tensor, purpose: str) -> Tensor:
        """As `draw`, each time on its own; here, the quantiles of uniform draws."""
        return self.quantile(noise.uniform(purpose, shape, like))


def strata(noise: Noise, shape: Sequence[int], like: Tensor, purpose: str) -> Tensor:
    """Uniform draws, one out of each of as many equal parts of [0, 1) as the whole batch draws.

    Which draw has which part is random, so that each draw alone is uniform.

    Args:
        noise: of the step; its rows are those of the whole batch.
        shape: of the draws of these rows.
        like: tells device and dtype.
        purpose: keys the draws.
    """
    rows = noise.total if noise.total is not None else noise.first + shape[0]
    whole, everything = replace(noise, first=0), (rows, *shape[1:])
    exact = torch.zeros((), dtype=torch.float64)
    order = whole.uniform(f"{purpose}: strata", everything, exact).flatten().argsort().argsort()
    inside = whole.uniform(purpose, everything, exact).flatten()
    draws = ((order + inside) / prod(everything)).view(everything)
    largest = 1.0 - torch.finfo(like.dtype).eps / 2
    return draws[noise.first : noise.first + shape[0]].clamp(max=largest).to(like)
