"""Times that follow what training loses: as often as there is something to be learned.

References:
    LDLM (2026), https://arxiv.org/abs/2605.07933, and LangFlow (2026),
    https://arxiv.org/abs/2604.11748, for times at which information is even; `information` has
    those of how it is told.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch import distributed as dist

from colaflex.interfaces.component import Builder
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.schedule import ContentCosts, Schedule, Seen, strata
from colaflex.schedules.configs import AdaptiveConfig
from colaflex.schedules.information import from_content, from_errors

__all__ = ["Adaptive"]

REACH = 8.0
"""The law lies between these logits of t; t = 0.0003 and 0.9997."""

FEWEST_BINS = 8
"""Bins that have to be seen before the law follows."""


class Adaptive(Schedule):
    """A share of the base law, and times by what `source` tells of each noise level.

    Attributes:
        fresh: (4, bins) of the step that runs: counts; sums of errors, nats and weights.
        sums: of the steps before, fading.
        shares: (bins + 1,) of the law, below each edge of the bins.
    """

    config: AdaptiveConfig
    fresh: Tensor
    sums: Tensor
    shares: Tensor

    def __init__(self, config: AdaptiveConfig, *, latent_dim: int, build: Builder) -> None:
        super().__init__(config, latent_dim=latent_dim)
        self.base: Schedule = build(config.base, latent_dim=latent_dim)
        for name in ("fresh", "sums"):
            self.register_buffer(name, torch.zeros(4, config.bins, dtype=torch.float64))
        self.register_buffer("shares", _shares_below(self.base, self._edges()))
        self._costs: ContentCosts | None = None

    @property
    def watches(self) -> bool:
        """It does."""
        return True

    @property
    def needs_content(self) -> bool:
        """What the decoder is asked about."""
        return self.config.source == "decoder"

    def behind(self, costs: ContentCosts) -> None:
        """Take what contents cost; see `Schedule.behind`."""
        self._costs = costs

    def flops(self, batch: int, segments: int) -> int:
        """Those of the decoder, in the share of the steps that ask it."""
        if self.config.source != "decoder" or self._costs is None:
            return 0
        return round(self.config.share * self._costs.flops(batch, segments))

    # The law.

    def quantile(self, shares: Tensor) -> Tensor:
        """Logits lie evenly in each bin."""
        exact = shares.to(self.shares)
        place = torch.searchsorted(self.shares, exact, right=True) - 1
        place = place.clamp(0, self.config.bins - 1)
        below, above = self.shares[place], self.shares[place + 1]
        inside = (exact - below) / (above - below).clamp(min=1e-30)
        width = 2 * REACH / self.config.bins
        times = torch.sigmoid(-REACH + width * (place + inside.clamp(0, 1)))
        times = torch.where(exact <= 0, 0.0, torch.where(exact >= 1, 1.0, times))
        return times.to(shares.dtype)

    def draw(self, noise: Noise, shape: Sequence[int], like: Tensor, purpose: str) -> Tensor:
        """By the base law alone as long as warm-up lasts."""
        one = strata if self.config.stratified else _on_their_own
        law = self.base if noise.progress < self.config.warmup else self
        return law.quantile(one(noise, shape, like, purpose))

    # What it follows.

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    @torch.no_grad()
    def observe(self, seen: Seen, noise: Noise) -> None:
        """Add what a batch lost to that of the step."""
        nats = self._nats(seen, noise)
        if nats is None and self.config.source != "x0":
            return
        logits = seen.times[seen.counted].double().logit()
        place = ((logits + REACH) * (self.config.bins / (2 * REACH))).long()
        place = place.clamp(0, self.config.bins - 1)
        costs = torch.zeros_like(logits) if nats is None else nats[seen.counted].double()
        values = [torch.ones_like(logits), seen.error[seen.counted].double(), costs]
        values.append(seen.weight[seen.counted].double())
        self.fresh.index_add_(1, place, torch.stack(values).to(self.fresh))

    def _nats(self, seen: Seen, noise: Noise) -> Tensor | None:
        if self.config.source != "decoder":
            return seen.nats
        if noise.of_step("schedule decoder") >= self.config.share:
            return None
        assert self._costs is not None, "the decoder is not known yet"
        assert seen.content is not None
        flat = seen.clean.flatten(1, 2)
        costs = self._costs.nats(flat, seen.content.flatten(1, 2))
        return costs.view_as(seen.error)

    @torch.no_grad()
    def stepped(self, index: int) -> None:
        """Take in what all processes saw in a step; now and then the law follows."""
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(self.fresh)
        if bool(self.fresh[0].any()):
            self.sums.mul_(self.config.decay).add_(self.fresh)
            self.fresh.zero_()
        if (index + 1) % self.config.refresh == 0:
            self.follow()

    @torch.no_grad()
    def follow(self) -> None:
        """Make the law that of what was seen so far."""
        counts, *sums = self.sums.cpu().numpy()
        known = counts > 0.5
        if known.sum() < FEWEST_BINS:
            return
        counts = np.where(known, counts, 0.0)
        errors, nats, weights = (each / np.where(known, counts, 1.0) for each in sums)
        if self.config.source == "x0":
            middles = (self._edges()[1:] + self._edges()[:-1]).numpy() / 2
            everywhere = np.interp(middles, middles[known], weights[known])
            amounts = from_errors(middles, errors, counts, everywhere)
        else:
            amounts = from_content(nats, counts)
        base = _shares_below(self.base, self._edges())
        if not amounts.any():
            self.shares.copy_(base)
            return
        told = torch.from_numpy(np.concatenate([[0.0], amounts.cumsum()]))
        self.shares.copy_(torch.lerp(told / told[-1], base, self.config.floor))

    def _edges(self) -> Tensor:
        return torch.linspace(-REACH, REACH, self.config.bins + 1, dtype=torch.float64)


def _on_their_own(noise: Noise, shape: Sequence[int], like: Tensor, purpose: str) -> Tensor:
    return noise.uniform(purpose, shape, like)


def _shares_below(law: Schedule, edges: Tensor) -> Tensor:
    """(edges,) of a law cut off at the first and the last edge: its quantiles turned around."""
    low, high = torch.zeros_like(edges), torch.ones_like(edges)
    for _ in range(60):
        middle = (low + high) / 2
        early = law.quantile(middle) < torch.sigmoid(edges)
        low, high = torch.where(early, middle, low), torch.where(early, high, middle)
    inside: Tensor = (high - high[0]) / (high[-1] - high[0])
    return inside
