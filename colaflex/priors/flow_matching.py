"""Flow matching: regress the velocity of straight paths between noise and latents.

References:
    Flow Matching for Generative Modeling (Lipman et al., 2023), https://arxiv.org/abs/2210.02747;
    Cola DLM (2026), eq. 2.1.7, https://arxiv.org/abs/2605.06548.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from colaflex.errors import UserError
from colaflex.interfaces.component import Builder
from colaflex.interfaces.losses import Losses
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.options import SamplingOptions
from colaflex.interfaces.prior import Known
from colaflex.interfaces.readout import EndingReadout, Readout
from colaflex.interfaces.values import LatentBatch
from colaflex.priors.block_sampling import grid_time
from colaflex.priors.denoiser import Denoiser, EstimateLift
from colaflex.priors.flow import FlowPrior
from colaflex.priors.flow_config import FlowMatchingConfig
from colaflex.priors.ode_density import Integration, block_directions, density_start, path_density
from colaflex.priors.path import Masks, Path, over_positions
from colaflex.priors.position_sampling import clock_times
from colaflex.priors.readout_calls import SaidRecorder, content_of
from colaflex.priors.self_conditioning import draw_condition
from colaflex.priors.stagger import apart, level_times, staggered
from colaflex.priors.trajectory import later_prediction, take_into_average

__all__ = ["FlowMatching"]


class FlowMatching(FlowPrior):
    """E ||v(z_t, t; history) - (eps - z0)||^2, or the same for z0, mean over channels.

    Attributes:
        average: the denoiser with averaged weights, where own-trajectory consistency asks it.

    Example:
        >>> from colaflex.interfaces.options import SamplingOptions
        >>> prior = colaflex.build("prior", "flow_matching", latent_dim=8, solver="heun")
        >>> prior.network_evaluations(SamplingOptions(steps=8, guidance=2.0))
        32
    """

    config: FlowMatchingConfig
    average: Denoiser | None

    def __init__(self, config: FlowMatchingConfig, *, latent_dim: int, build: Builder) -> None:
        super().__init__(config, latent_dim=latent_dim, build=build)
        settings = config.self_conditioning
        if settings.share:
            width = self.network.width
            self.denoiser.recall = EstimateLift(latent_dim, width, settings.guidance)
            self.register_parts()
        self.average = None
        self._copy_average()

    def _copy_average(self) -> None:
        if self.config.trajectory.on:
            self.average = copy.deepcopy(self.denoiser).requires_grad_(False)

    # Times of positions.

    def draw_path(self, latents: LatentBatch, noise: Noise, samples: int) -> Path:
        """As the base; where positions have times of their own, at those."""
        path, stagger = super().draw_path(latents, noise, samples), self.config.stagger
        if not stagger.on:
            return path
        if stagger.times == "independent":
            return apart(path, self.schedule, noise, len(latents.values))
        return staggered(path, stagger.lead, self.schedule, noise, len(latents.values))

    def level_times(self, path: Path, time: float) -> Sequence[Tensor]:
        """As the base; along a clock, for each position those of all when it is at that time."""
        lead = self.config.stagger.lead
        return level_times(path.times, time, lead) if lead else super().level_times(path, time)

    def times_of(self, segments: int) -> int | None:
        """As the base, or one a position."""
        return segments if self.config.stagger.on else super().times_of(segments)

    def position_times(self, options: SamplingOptions, known: Known | None) -> list[Tensor] | None:
        """Those of the clock, where the left goes ahead."""
        if not self.config.stagger.lead:
            return None
        pinned = None if known is None else known.mask
        if pinned is None:
            weight = self.lift.weight
            pinned = torch.zeros(1, self.block_size, dtype=torch.bool, device=weight.device)

        def grid(share: float) -> float:
            return grid_time(options.grid, share, self.quantile)

        return clock_times(grid, options.steps, self.config.stagger.lead, pinned)

    def asked_times(self, options: SamplingOptions) -> Sequence[float] | None:
        """As the base; of positions apart, at each step that with the most guidance branches."""
        times = self.position_times(options, None)
        if times is None:
            return super().asked_times(options)
        noisy = ([t for t in step.flatten().tolist() if t > 0] for step in times[:-1])
        return [max(each, key=options.course.branches) for each in noisy]

    @torch.no_grad()
    def content_nats(self, latents: LatentBatch, noise: Tensor) -> Tensor | None:
        """As the base; where the left goes ahead, each position's is drawn as it begins.

        Those left of it have gone on to their own clean latents meanwhile.
        """
        lead, head = self.config.stagger.lead, self.denoiser.readout
        if not lead or head is None:
            return super().content_nats(latents, noise)
        content, data = self.blocks(content_of(latents)), self.blocks(latents.values)
        masks, start = Masks.free(self.blocks(latents.mask)), torch.ones_like(data[..., 0])
        path, past = (
            Path(data, self.blocks(noise), start, masks),
            self.denoiser.past(self.history(latents)),
        )
        found = []
        for place, times in enumerate(level_times(start, 1.0, lead)):
            heard = SaidRecorder()
            self.denoiser.predictor(past, masks, call=heard)(path.point(times), times[..., None])
            found.append(head.content_nats(heard.said, content)[:, :, place])
        return torch.stack(found, 2).flatten(1, 2)

    # Own-trajectory consistency.

    def take(self, readout: Readout | None, history: nn.Module | None) -> None:
        """As the base does; the averaged denoiser is to have the same."""
        if self.config.stagger.lead and isinstance(readout, EndingReadout):
            raise UserError(
                f"stagger: positions of a block end at several times, and the readout "
                f"{self.config.readout} gives one end for all; choose another readout, or lead 0"
            )
        super().take(readout, history)
        self._copy_average()

    def stepped(self, index: int) -> None:
        """Take the weights of now into their average; see also `PathPrior.stepped`."""
        super().stepped(index)
        if self.average is not None:
            decay = self.config.trajectory.decay
            take_into_average(self.average, self.denoiser, decay, index)

    def draw_condition(self, past: Any, path: Path, noise: Noise, batch: int) -> Tensor | None:
        """With self-conditioning, an estimate of the clean latents, in a share of the noisings."""
        if self.denoiser.recall is None:
            return None
        settings = self.config.self_conditioning
        return draw_condition(self.denoiser, settings, past, path, noise, batch)

    def further_terms(
        self, path: Path, prediction: Tensor, latents: LatentBatch, noise: Noise
    ) -> Losses:
        """Term "trajectory", behind its warm-up: see `Trajectory`; mean over channels."""
        settings = self.config.trajectory
        if self.average is None or noise.progress < settings.warmup:
            return {}
        clean = self.denoiser.clean(prediction, path.point(), path.times)
        with torch.no_grad():
            past = self.average.past(self.history(latents))
        target, then = later_prediction(self.average, past, path, clean.detach(), settings.steps)
        # At the data there is nothing to predict.
        distance = (clean - target).square().mean(-1)
        distance = path.weighted(distance * over_positions(then > 0, distance))
        return {"trajectory": self.flow_term(distance, path.masks, latents, noise, settings.weight)}

    def matching_flops(self, batch: int, segments: int) -> int:
        """As the base, and the passes beside it, of all rows whatever share of them is used.

        These make estimates; or, behind the warm-up, what own-trajectory consistency holds to.
        """
        flops, n = super().matching_flops(batch, segments), self.config.noisings
        lift = 2 * batch * segments * self.latent_dim * self.network.width
        recall = 0 if self.denoiser.recall is None else lift
        if recall:
            _, noisy = self.forward_flops(batch, segments)
            flops += n * (noisy + 3 * recall)
        if self.average is not None:
            latents, blocks = batch * segments, segments // self.block_size
            times = self.times_of(segments)
            network = self.network.flops(batch, blocks, self.block_size, n, times)
            ends = self.denoiser.past_flops(latents) + n * self.denoiser.end_flops(latents)
            share = 1.0 - self.config.trajectory.warmup
            flops += round(share * (network + ends + n * recall))
        return flops

    def network_evaluations(self, options: SamplingOptions) -> int | None:
        """As the base; guidance by estimates doubles all but the first."""
        evaluations, times = super().network_evaluations(options), self.asked_times(options)
        settings = self.config.self_conditioning
        if evaluations is None or times is None or not settings.share or settings.guidance == 1.0:
            return evaluations
        return evaluations + sum(map(options.course.branches, times[1:]))

    # Density.

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
        masks = Masks.given(counted)
        direction = None if self.config.divergence == "exact" else block_directions(data)
        integration = Integration(steps, direction, first=first)
        past = self.denoiser.past(self.history(latents))
        density = path_density(self.denoiser, past, data, masks, integration)
        return torch.where(counted.any(-1), density, 0.0).sum(1)

    @torch.no_grad()
    def density_start(self) -> float:
        """The time that stands for the data's: 0, or more where z0 is predicted."""
        if not self.denoiser.knows_clean:
            return 0.0
        return density_start(self.denoiser, (self.block_size, self.latent_dim))
