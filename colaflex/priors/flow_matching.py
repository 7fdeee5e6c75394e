"""Flow matching: regress the velocity of straight paths between noise and latents.

References:
    Flow Matching for Generative Modeling (Lipman et al., 2023), https://arxiv.org/abs/2210.02747;
    Cola DLM (2026), eq. 2.1.7, https://arxiv.org/abs/2605.06548.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from colaflex.interfaces.component import Builder
from colaflex.interfaces.noise import Noise, SampleNoise
from colaflex.interfaces.options import SamplingOptions
from colaflex.interfaces.solver import VelocityField
from colaflex.interfaces.values import LatentBatch
from colaflex.priors.density_start import density_start, probe
from colaflex.priors.flow import FlowPrior, Path, Predict
from colaflex.priors.flow_config import FlowMatchingConfig
from colaflex.priors.likelihood import Integration, block_directions, log_density
from colaflex.priors.path_prior import LEAST_TIME
from colaflex.priors.renoising import Estimate
from colaflex.priors.self_conditioning import SelfConditioned, noisier

__all__ = ["FlowMatching"]


class FlowMatching(FlowPrior):
    """E ||v(z_t, t; history) - (eps - z0)||^2, or the same for z0, mean over channels."""

    config: FlowMatchingConfig

    def __init__(self, config: FlowMatchingConfig, *, latent_dim: int, build: Builder) -> None:
        super().__init__(config, latent_dim=latent_dim, build=build)
        self.recall: SelfConditioned | None = None
        if config.self_conditioning.share:
            self.recall = SelfConditioned(latent_dim, self.network.width)

    @property
    def trained(self) -> Mapping[str, nn.Module]:
        """As the base, and what lifts an estimate."""
        parts = super().trained
        return parts if self.recall is None else {**parts, "recall": self.recall}

    def recalled(self, history: Tensor, path: Path, noise: Noise) -> Mapping[str, Any]:
        """An estimate of the clean latents, lifted, in a share of the noisings; 0 in the others."""
        if self.recall is None:
            return {}
        past = self.past(history, self.trained)
        settings, samples = self.config.self_conditioning, len(path.data) // len(history)
        draws = noise.uniform("self-conditioning", (len(history), samples, 2), path.data)
        draws = draws.transpose(0, 1).flatten(0, 1)
        times = noisier(path.times, draws[:, 1:]) if settings.perturbed else path.times
        with torch.no_grad():
            predict = self.predictor(history, path, self.trained, past=past)
            points = path.point(times)
            estimate = self.clean(predict(points, times[..., None]), points, times)
        given = (draws[:, 0] < settings.share)[:, None, None] & ~path.pinned
        told = self.recall(torch.where(given[..., None], estimate, 0.0))
        return {"told": told, "past": past}

    def field(
        self,
        state: Any,
        guidance: float = 1.0,
        pinned: Tensor | None = None,
        told: Tensor | None = None,
    ) -> VelocityField:
        """As the base; with self-conditioning, each call reads what the one before found."""
        plain = partial(super().field, state, guidance, pinned)
        if self.recall is None:
            return plain(told)
        recall, strength = self.recall, self.config.self_conditioning.guidance
        last: Tensor | None = None

        def velocity(time: Tensor, points: Tensor) -> Tensor:
            nonlocal last
            moved = plain(_sum(told, None if last is None else recall(last)))(time, points)
            if strength != 1.0 and last is not None:
                moved = torch.lerp(plain(told)(time, points), moved, strength)
            last = points - time.to(points.dtype) * moved
            return moved

        return velocity

    def drawn(
        self,
        state: Any,
        noise: SampleNoise,
        guidance: float = 1.0,
        pinned: Tensor | None = None,
        told: Tensor | None = None,
    ) -> Estimate:
        """As the base; with self-conditioning, each draw reads the one before."""
        plain = partial(super().drawn, state, noise, guidance, pinned)
        if self.recall is None:
            return plain(told)
        recall = self.recall
        last: Tensor | None = None

        def estimate(step: int, time: Tensor, points: Tensor) -> Tensor:
            nonlocal last
            read = None if last is None else recall(last)
            last = plain(_sum(told, read))(step, time, points)
            return last

        return estimate

    def training_flops(self, batch: int, segments: int) -> int:
        """As the base, and the passes that make estimates, of all rows whatever the share."""
        flops = super().training_flops(batch, segments)
        if self.recall is None:
            return flops
        _, noisy = self.forward_flops(batch, segments)
        lift = 2 * batch * segments * self.latent_dim * self.network.width
        n = self.config.noisings
        return flops + n * (noisy + 3 * lift)

    def network_evaluations(self, options: SamplingOptions) -> int | None:
        """As the base; guidance by estimates doubles all but the first."""
        evaluations = super().network_evaluations(options)
        settings = self.config.self_conditioning
        if evaluations is None or not settings.share or settings.guidance == 1.0:
            return evaluations
        branches = 1 if options.guidance == 1.0 else 2
        return 2 * evaluations - branches * (1 + self._ends_apart)

    def objective(self, path: Path, predict: Predict) -> Tensor:
        """Squared error of the prediction at every position."""
        return self.matching_error(path, predict)

    def log_prob(self, latents: LatentBatch) -> Tensor:
        """(batch,) log density in nats of the unguided flow, to the solver's precision.

        Each block's is given the blocks before it. Latents outside the mask that stand in a block
        with latents inside are conditioned on.
        """
        return self._integrated(latents, self.config.likelihood_steps, self.density_start())

    def density_change(self, latents: LatentBatch) -> Tensor:
        """(batch,) nats that `log_prob` gains on twice as many steps."""
        steps, first = self.config.likelihood_steps, self.density_start()
        finer = self._integrated(latents, 2 * steps, first)
        return finer - self._integrated(latents, steps, first)

    @torch.no_grad()
    def _integrated(self, latents: LatentBatch, steps: int, first: float) -> Tensor:
        data, counted = self.blocks(latents.values), self.blocks(latents.mask)
        batch, blocks = data.shape[:2]
        path = Path(
            data=data,
            noise=data,
            times=data.new_zeros(batch, blocks),
            pinned=unlearned(counted),
            counted=counted,
            blind=torch.zeros(batch, dtype=torch.bool, device=data.device),
        )
        exact = self.config.divergence == "exact"
        direction = None if exact else block_directions(data)
        integration = Integration(steps, direction, first=first)
        density = self.path_density(self.history(latents), path, integration)
        return torch.where(counted.any(-1), density, 0.0).sum(1)

    @torch.no_grad()
    def density_start(self) -> float:
        """The time that stands for the data's: 0, or more where z0 is predicted."""
        if not self.knows_clean:
            return 0.0
        path = probe((self.block_size, self.latent_dim), self.lift.weight)
        nothing = self.network.begin(len(path.data), self.lift.weight)
        predict = self.predictor(path.data, path, self.trained, past=nothing)
        if self.config.prediction == "x0":
            return density_start(path, predict)

        def clean(points: Tensor, times: Tensor) -> Tensor:
            return points - times[..., None].clamp(min=LEAST_TIME) * predict(points, times)

        return density_start(path, clean)

    def path_density(self, history: Tensor, path: Path, integration: Integration) -> Tensor:
        """(batch, blocks) nats: log p of each block's positions that are not pinned.

        Args:
            history: (batch, blocks, block, any), see `history`.
            path: its data, pinned positions and blind rows hold; one noising.
            integration: how.
        """
        predict, held = self._settled(history, path), path.pinned[..., None]

        def velocity(time: Tensor, points: Tensor) -> Tensor:
            times = torch.atleast_2d(time.to(points.dtype))[..., None]
            moved = self.as_velocity(predict(points, times), points, times[..., None])
            return torch.where(held, 0.0, moved)

        return log_density(velocity, path.held(path.data), ~path.pinned, integration)

    def _settled(self, history: Tensor, path: Path) -> Predict:
        """The prediction as a function of points and times alone, as a density needs it.

        With self-conditioning, the network reads the estimate that it makes there without one.
        """
        past = self.past(history, self.trained)
        plain = self.predictor(history, path, self.trained, past=past)
        if self.recall is None:
            return plain
        recall = self.recall

        def predict(points: Tensor, times: Tensor) -> Tensor:
            estimate = self.clean(plain(points, times), points, times[..., 0])
            told = recall(torch.where(path.pinned[..., None], 0.0, estimate))
            return self.predictor(history, path, self.trained, told, past)(points, times)

        return predict


def _sum(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    if one is None or other is None:
        return one if other is None else other
    return one + other


def unlearned(counted: Tensor) -> Tensor:
    """(..., block) bool: positions that do not count, in blocks with positions that do."""
    return ~counted & counted.any(-1, keepdim=True)
