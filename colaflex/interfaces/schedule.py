"""Schedule: the law of the times at which a prior on paths learns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor, nn

from colaflex.interfaces.configs import ScheduleConfig
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.one_line import one_line

__all__ = ["ContentCosts", "Schedule", "Seen", "strata"]


@dataclass(frozen=True, slots=True)
class ContentCosts:
    """What contents cost by the representation's decoder.

    Attributes:
        nats: (batch, segments, dim) latents as the prior sees them, (batch, segments, any) what
            they should stand for -> (batch, segments) nats.
        flops: model FLOPs of that, by batch and segments.

    Example:
        >>> costs = ContentCosts(lambda latents, content: latents.square().sum(-1), lambda *n: 0)
        >>> costs.nats(torch.ones(1, 3, 4), torch.zeros(1, 3, 1))
        tensor([[4., 4., 4.]])
    """

    nats: Callable[[Tensor, Tensor], Tensor]
    flops: Callable[[int, int], int]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a step of training lost, without gradient, at each position of (rows, blocks, block).

    Attributes:
        times: of that shape.
        counted: bool, positions that count: learned ones, behind their history.
        error: squared error of the clean latents, mean over channels, without any weight.
        weight: what the loss weighs that error with.
        clean: (rows, blocks, block, dim) the clean latents that were expected.
        nats: what the content costs by the prior's readout; None without one.
        content: (rows, blocks, block, any) what the latents stand for; None where nobody asked.

    Example:
        >>> one, latents = torch.ones(2, 3, 4), torch.zeros(2, 3, 4, 8)
        >>> Seen(times=one / 2, counted=one > 0, error=one, weight=one, clean=latents)
        Seen(times (2, 3, 4), counted (2, 3, 4), error (2, 3, 4), weight (2, 3, 4), \
clean (2, 3, 4, 8))
    """

    times: Tensor
    counted: Tensor
    error: Tensor
    weight: Tensor
    clean: Tensor
    nats: Tensor | None = None
    content: Tensor | None = None

    __repr__ = one_line


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

    # What a law needs that follows the training; by default, nothing.

    @property
    def watches(self) -> bool:
        """Whether it asks what training loses: then `observe` is called."""
        return False

    @property
    def needs_content(self) -> bool:
        """Whether it asks for the content that latents stand for."""
        return False

    def behind(self, costs: ContentCosts) -> None:
        """Called once before anything else, where a representation tells what contents cost."""
        del costs

    def flops(self, batch: int, segments: int) -> int:
        """Model FLOPs that observing a batch takes, on average over the steps."""
        del batch, segments
        return 0

    def observe(self, seen: Seen, noise: Noise) -> None:
        """Called in each step for each part of the batch, without gradient.

        Args:
            seen: what this part lost.
            noise: of the step.
        """
        del seen, noise

    def stepped(self, index: int) -> None:
        """Called behind each step, counted from 0 in each phase, in all processes at once."""
        del index


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
