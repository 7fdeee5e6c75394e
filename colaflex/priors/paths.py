"""Points on the straight paths between noise and data, block-wise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

__all__ = ["Path", "Predict"]

Predict = Callable[[Tensor, Tensor], Tensor]
"""(points, times (samples · batch, blocks or 1, n_times)) -> prediction of the points' shape."""


@dataclass(frozen=True)
class Path:
    """Points on the paths between data and noise, block-wise.

    Attributes:
        data: (samples · batch, blocks, block, dim) clean latents.
        noise: the noise each path starts from, of the same shape.
        times: (samples · batch, blocks) in (0, 1).
        pinned: (samples · batch, blocks, block) bool, positions given clean.
        counted: (samples · batch, blocks, block) bool, positions that count in the loss.
        blind: (samples · batch,) bool, rows that see no history.
    """

    data: Tensor
    noise: Tensor
    times: Tensor
    pinned: Tensor
    counted: Tensor
    blind: Tensor

    def point(self, times: Tensor | None = None) -> Tensor:
        """z_t = (1 - t) z0 + t eps, pinned positions clean; at other times, if given."""
        t = (self.times if times is None else times)[..., None, None]
        return self.held(torch.lerp(self.data, self.noise, t))

    def velocity(self) -> Tensor:
        """dz_t / dt = eps - z0."""
        return self.noise - self.data

    def held(self, points: Tensor) -> Tensor:
        """The points, pinned positions clean; these are history, and carry no gradient."""
        return torch.where(self.pinned[..., None], self.data.detach(), points)

    def rows(self, chosen: Tensor) -> Path:
        """The paths of some of the rows."""
        return Path(*(getattr(self, field.name)[chosen] for field in fields(self)))
