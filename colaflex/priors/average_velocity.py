"""Base of priors that learn the average velocity over a step, and so take steps of any length."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor

from colaflex.interfaces.losses import Losses
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.options import SamplingOptions
from colaflex.interfaces.solver import VelocityField
from colaflex.interfaces.values import LatentBatch
from colaflex.priors.block_sampling import Draw
from colaflex.priors.few_step_config import AverageVelocityConfig
from colaflex.priors.path import Path, Predict
from colaflex.priors.path_prior import PathPrior

__all__ = ["AverageVelocity"]


class AverageVelocity(PathPrior):
    """u(z_t, t, d; history): the average velocity between t and t - d; at d = 0, the velocity.

    The network's two times are t and the span d. A derived class draws the spans and makes the
    target of those that are not 0.

    Example:
        >>> from colaflex.interfaces.options import SamplingOptions
        >>> prior = colaflex.build("prior", "shortcut", latent_dim=8, block_size=4)
        >>> isinstance(prior, AverageVelocity)
        True
        >>> prior.sample(rows=2, blocks=3, options=SamplingOptions(steps=1)).shape
        torch.Size([2, 12, 8])
    """

    config: AverageVelocityConfig
    n_times: ClassVar[int] = 2

    @abstractmethod
    def draw_spans(self, noise: Noise, samples: int, data: Tensor) -> tuple[Tensor, Tensor]:
        """Times t and spans d <= t of self-taught blocks, each (samples · batch, blocks)."""

    @abstractmethod
    def target(self, path: Path, spans: Tensor, predict: Predict) -> Tensor:
        """The average velocity over spans that the network should give, of the data's shape.

        What the network says in it is held constant; the velocity of the path is not.
        """

    def distance(self, error: Tensor, counted: Tensor) -> Tensor:
        """The loss of every position by its error, (..., block, dim) -> (..., block).

        Its mean square; `counted` (..., block) tells the positions that count.
        """
        del counted
        return error.square().mean(-1)

    def losses(self, latents: LatentBatch, noise: Noise | None = None) -> Losses:
        """Term "flow": flow matching, and for a share of the rows the self-made target.

        Of a readout also "content", where the target is the data.
        """
        noise, n = noise or Noise(0), self.config.noisings
        data, history = self.blocks(latents.values), self.history(latents)
        draws = noise.uniform("self-taught", (data.shape[0], n), data)
        chosen = (draws < self.config.self_taught).T.reshape(-1, 1)
        path = self.draw_path(latents, noise, n)
        times, spans = self.draw_spans(noise, n, data)
        path = replace(path, times=torch.where(chosen, times, path.times))
        spans = torch.where(chosen, spans, 0.0)
        target = self._targets(history, path, spans, chosen[:, 0])
        content = self.content_targets(latents, n)
        predict = self.denoiser.predictor(self.denoiser.past(history), path.masks, call=content)
        predicted = predict(path.point(), torch.stack([path.times, spans], -1))
        error = self.weighed(predicted - target, path.times)
        per_position = self.distance(error, path.masks.counted)
        share = 1.0 - self.config.self_taught
        return {
            "flow": self.flow_term(per_position, path.masks, latents, noise),
            **self.content_terms(content, path, latents, noise, ~chosen, share),
        }

    def _targets(self, history: Tensor, path: Path, spans: Tensor, chosen: Tensor) -> Tensor:
        """What each point should give; the network is asked only about the chosen rows."""
        rows = chosen.nonzero()[:, 0]
        if not len(rows):
            # Processes that train together all run the network, or none does.
            rows = rows.new_zeros(1)
        part = path.rows(rows)
        with torch.no_grad():
            past = self.denoiser.past(history[rows % len(history)])
            predict = self.denoiser.predictor(past, part.masks)
        targets = torch.zeros_like(path.data).index_copy(
            0, rows, self.target(part, spans[rows], predict).to(path.data.dtype)
        )
        return torch.where(chosen[:, None, None, None], targets, self.velocity(path))

    def velocity(self, path: Path) -> Tensor:
        """The velocity that is learned where spans are 0; here, the path's own."""
        return path.velocity()

    def guided(self, conditional: Tensor, path: Path, points: Tensor, times: Tensor) -> Tensor:
        """A prediction, guided as targets are; off where a block's history is empty.

        Args:
            conditional: (rows, blocks, block, dim), of the points.
            path: whose masks hold.
            points: of the prediction's shape.
            times: (rows, blocks, 2).
        """
        if self.config.taught_guidance == 1:
            return conditional
        with torch.no_grad():
            free = self.denoiser.alone(points, times, path.masks.pinned)
        return path.masks.guided(conditional, free, self.config.taught_guidance)

    def grid(self, steps: int) -> list[float]:
        """The times of a sampler of so many steps, from 1 to 0."""
        return torch.linspace(1.0, 0.0, steps + 1, dtype=torch.float64).tolist()

    def descend(self, field: VelocityField, draw: Draw, steps: int) -> Tensor:
        """z_r = z_t - (t - r) u(z_t, t, t - r) from each time of the grid to the next."""
        points, grid = draw(0), self.grid(steps)
        for time, then in pairwise(grid):
            both = torch.tensor([time, time - then], device=points.device)
            points = points - (time - then) * field(both, points)
        return points

    def asked_times(self, options: SamplingOptions) -> Sequence[float]:
        """Those of its own grid."""
        return self.grid(options.steps)[:-1]

    def end_time(self, time: Tensor) -> Tensor:
        """The same at a span of 0: there the readout learns the text."""
        return torch.stack([time[0], torch.zeros_like(time[0])])

    def training_flops(self, batch: int, segments: int) -> int:
        """Model FLOPs of one step, self-made targets included: two forward passes, guided four."""
        clean, noisy = self.forward_flops(batch, segments)
        passes = 2 if self.config.taught_guidance == 1 else 4
        targets = self.config.self_taught * self.config.noisings * (clean + passes * noisy)
        return self.matching_flops(batch, segments) + round(targets)
