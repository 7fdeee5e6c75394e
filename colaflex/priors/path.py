"""Points on the straight paths between noise and data, block-wise, and what of them is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields

import torch
from torch import Tensor

from colaflex.interfaces.noise import Noise
from colaflex.interfaces.one_line import one_line
from colaflex.interfaces.schedule import Schedule
from colaflex.priors.flow_config import PathPriorConfig

__all__ = [
    "Asked",
    "Masks",
    "Path",
    "Predict",
    "draw_masks",
    "draw_times",
    "over_channels",
    "over_positions",
    "unlearned",
]

Predict = Callable[[Tensor, Tensor], Tensor]
"""(points, times (samples · batch, blocks or 1, n_times)) -> prediction of the points' shape.

Times of positions are (samples · batch, blocks, block, n_times).
"""


@dataclass
class Asked:
    """A prediction that is remembered.

    Attributes:
        predict: asked in its place.
        prediction: what it said last; empty before the first call.
    """

    predict: Predict
    prediction: Tensor = field(default_factory=lambda: torch.empty(0))

    __repr__ = one_line

    def __call__(self, points: Tensor, times: Tensor) -> Tensor:
        """See `Predict`."""
        self.prediction = self.predict(points, times)
        return self.prediction


def over_channels(times: Tensor, points: Tensor) -> Tensor:
    """Times of blocks (...), or positions (..., block), as points (..., block, dim) take them."""
    return times[..., None] if times.ndim == points.ndim - 1 else times[..., None, None]


def over_positions(values: Tensor, positions: Tensor) -> Tensor:
    """Values of blocks (...), or positions (..., block), as positions (..., block) take them."""
    return values if values.ndim == positions.ndim else values[..., None]


def unlearned(counted: Tensor) -> Tensor:
    """(..., block) bool: positions that do not count, in blocks with positions that do."""
    return ~counted & counted.any(-1, keepdim=True)


@dataclass(frozen=True)
class Masks:
    """What of some documents is known, what counts, and who sees no history.

    Attributes:
        pinned: (samples · batch, blocks, block) bool, positions whose latents are known.
        counted: (samples · batch, blocks, block) bool, positions that count in the loss.
        blind: (samples · batch,) bool, rows that see no history.

    Example:
        >>> masks = Masks.free(torch.ones(2, 3, 4, dtype=torch.bool))  # two rows of three blocks
        >>> masks.repeat(samples=2)
        Masks(pinned (4, 3, 4), counted (4, 3, 4), blind (4,))
    """

    pinned: Tensor
    counted: Tensor
    blind: Tensor

    __repr__ = one_line

    @classmethod
    def free(cls, counted: Tensor) -> Masks:
        """Nothing pinned, nobody blind."""
        nowhere = torch.zeros_like(counted)
        return cls(nowhere, counted, nowhere[:, 0, 0])

    @classmethod
    def given(cls, counted: Tensor) -> Masks:
        """What doesn't count is known, in blocks with positions that do; nobody blind."""
        return cls(unlearned(counted), counted, torch.zeros_like(counted[:, 0, 0]))

    def opening(self) -> Tensor:
        """(samples · batch, blocks) bool: blocks that open a document, and know it."""
        opens = torch.zeros_like(self.pinned[..., 0])
        opens[:, 0] = ~self.blind
        return opens

    def guided(self, conditional: Tensor, free: Tensor, guidance: float) -> Tensor:
        """Predictions moved away from those without history, where there is any.

        Args:
            conditional: (samples · batch, blocks, block, any).
            free: of that shape, of every block alone.
            guidance: g in g · conditional + (1 - g) · free.
        """
        alone = self.blind[:, None].repeat(1, self.pinned.shape[1])
        alone[:, 0] = True
        mixed = torch.lerp(free, conditional, guidance)
        return torch.where(alone[..., None, None], conditional, mixed)

    def repeat(self, samples: int) -> Masks:
        """The same for so many noisings."""
        return Masks(
            self.pinned.repeat(samples, 1, 1),
            self.counted.repeat(samples, 1, 1),
            self.blind.repeat(samples),
        )

    def rows(self, chosen: Tensor) -> Masks:
        """Those of some of the rows."""
        return Masks(*(getattr(self, field.name)[chosen] for field in fields(self)))


@dataclass(frozen=True)
class Path:
    """Points on the paths between data and noise, block-wise.

    Attributes:
        data: (samples · batch, blocks, block, dim) clean latents.
        noise: the noise each path starts from, of the same shape.
        times: (samples · batch, blocks) in (0, 1); or, in [0, 1], (samples · batch, blocks, block)
            of positions.
        masks: of the same rows.
        weights: (samples · batch, blocks, block) of the positions' losses; None is 1.

    Example:
        >>> masks = Masks.free(torch.ones(2, 3, 4, dtype=torch.bool))
        >>> data, noise = torch.zeros(2, 3, 4, 8), torch.ones(2, 3, 4, 8)
        >>> path = Path(data, noise, times=torch.full((2, 3), 0.25), masks=masks)
        >>> path.point().unique(), path.velocity().unique()
        (tensor([0.2500]), tensor([1.]))
    """

    data: Tensor
    noise: Tensor
    times: Tensor
    masks: Masks
    weights: Tensor | None = None

    __repr__ = one_line

    def point(self, times: Tensor | None = None) -> Tensor:
        """z_t = (1 - t) z0 + t eps, pinned positions clean; at other times, if passed."""
        t = over_channels(self.times if times is None else times, self.data)
        return self.pin(torch.lerp(self.data, self.noise, t))

    def velocity(self) -> Tensor:
        """dz_t / dt = eps - z0."""
        return self.noise - self.data

    def pin(self, points: Tensor) -> Tensor:
        """The points, pinned positions clean; these are history, and carry no gradient."""
        return torch.where(self.masks.pinned[..., None], self.data.detach(), points)

    def rows(self, chosen: Tensor) -> Path:
        """The paths of some of the rows."""
        return Path(
            self.data[chosen],
            self.noise[chosen],
            self.times[chosen],
            self.masks.rows(chosen),
            None if self.weights is None else self.weights[chosen],
        )

    def weighted(self, losses: Tensor) -> Tensor:
        """Losses of the positions, by their weights."""
        return losses if self.weights is None else losses * self.weights


def draw_masks(
    config: PathPriorConfig, noise: Noise, samples: int, data: Tensor, mask: Tensor
) -> Masks:
    """Draw pinned prefixes and blind rows of a batch, `samples` times.

    Args:
        config: how many of each.
        noise: of the step.
        samples: noisings.
        data: (batch, blocks, block, dim).
        mask: (batch, blocks, block) bool, latents that are learned.
    """
    batch, blocks, block, _ = data.shape
    draws = noise.uniform("flow prefix", (batch, samples, blocks, 2), data)
    draws = draws.transpose(0, 1).flatten(0, 1)
    share = noise.in_some_steps(config.pinned_blocks)
    prefix = torch.where(draws[..., 0] < share, draws[..., 1] * block, 0.0)
    pinned = torch.arange(block, device=data.device) < prefix.long()[..., None]
    # What is not learned before what is (the end of a prompt) is known, as when sampling.
    behind = mask.flip(2).cumsum(2).flip(2) > 0
    pinned |= (~mask & behind).repeat(samples, 1, 1)
    blind = noise.uniform("flow blind", (batch, samples), data).T.flatten()
    counted = mask.repeat(samples, 1, 1) & ~pinned
    return Masks(pinned, counted, blind < config.history_dropout)


def draw_times(
    schedule: Schedule, noise: Noise, samples: int, data: Tensor, purpose: str = "flow times"
) -> Tensor:
    """(samples · batch, blocks) times from a schedule; data is (batch, blocks, ...)."""
    times = schedule.draw(noise, (data.shape[0], samples, data.shape[1]), data, purpose)
    return times.transpose(0, 1).flatten(0, 1)
