"""Base of the priors that learn on straight paths between noise and data: draws and losses."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from colaflex.interfaces.component import Builder
from colaflex.interfaces.losses import Losses, LossTerm
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.prior import NoiseLevel, PriorPhase
from colaflex.interfaces.readout import EndingReadout, Readout
from colaflex.interfaces.schedule import Schedule, Seen
from colaflex.interfaces.solver import Coupling
from colaflex.interfaces.values import LatentBatch
from colaflex.priors.denoiser import SMALLEST_TIME
from colaflex.priors.denoising_prior import DenoisingPrior
from colaflex.priors.flow_config import PathPriorConfig
from colaflex.priors.path import (
    Asked,
    Masks,
    Path,
    Predict,
    draw_masks,
    draw_times,
    over_channels,
    over_positions,
)
from colaflex.priors.readout_calls import ContentTargets, SaidRecorder, content_of

__all__ = ["MatchingPhase", "PathPrior"]


class MatchingPhase(PriorPhase):
    """Flow matching comes first: it trains a teacher, or starts what learns otherwise then."""

    prior: PathPrior

    def losses(self, latents: LatentBatch, noise: Noise) -> Losses:
        """Flow matching's."""
        return self.prior.matching_losses(latents, noise)

    def flops(self, batch: int, segments: int) -> int:
        """Flow matching's."""
        return self.prior.matching_flops(batch, segments)


class PathPrior(DenoisingPrior):
    """Learns which way the data is from points on the paths; by default, by flow matching.

    Attributes:
        schedule: the law of the times at which it learns.

    Example:
        >>> from colaflex.interfaces.values import LatentBatch
        >>> prior = colaflex.build("prior", "mean_flow", latent_dim=8, block_size=4)
        >>> latents = LatentBatch(torch.zeros(2, 8, 8), torch.ones(2, 8, dtype=torch.bool))
        >>> isinstance(prior, PathPrior), list(prior.losses(latents))
        (True, ['flow'])
    """

    def __init__(self, config: PathPriorConfig, *, latent_dim: int, build: Builder) -> None:
        super().__init__(config, latent_dim=latent_dim, build=build)
        self.coupling: Coupling = build(config.coupling)
        self.schedule: Schedule = build(config.schedule, latent_dim=latent_dim)

    @property
    def sampled_law(self) -> Schedule:
        """The law of the times at which its sampler's field was learned."""
        return self.schedule

    @property
    def quantile(self) -> Callable[[Tensor], Tensor]:
        """Of that law."""
        device = self.lift.weight.device
        return lambda shares: self.sampled_law.quantile(shares.to(device))

    # What the representation offers.

    @property
    def state_width(self) -> int:
        """Channels of the network's states."""
        return self.network.width

    @property
    def needs_content(self) -> bool:
        """Where it has a readout, or reads its history by the representation's module.

        And where its schedule asks what the decoder makes of the expected latents.
        """
        reads = self.denoiser.readout is not None or self.denoiser.reader is not None
        return reads or self.schedule.needs_content

    def take(self, readout: Readout | None, history: nn.Module | None) -> None:
        """Put a readout in the head's place, and read history by a module; see `Prior.take`."""
        if readout is not None:
            self.denoiser.head = readout
        if history is not None:
            self.denoiser.reader = history
        self.register_parts()

    # Training.

    def losses(self, latents: LatentBatch, noise: Noise | None = None) -> Losses:
        """By default, those of flow matching."""
        return self.matching_losses(latents, noise or Noise(0))

    def matching_losses(self, latents: LatentBatch, noise: Noise) -> Losses:
        """The objective, "flow", mean over channels; of a readout "content", in nats; per latent.

        The latter is what the truth costs by what the readout said of it.
        """
        path = self.draw_path(latents, noise, self.config.noisings)
        targets = self.content_targets(latents, self.config.noisings)
        past = self.denoiser.past(self.history(latents))
        condition = self.draw_condition(past, path, noise, len(latents.values))
        asked = Asked(self.denoiser.predictor(past, path.masks, condition, targets))
        flow = self.objective(path, asked)
        self.show(path, asked.prediction, targets, latents, noise)
        return {
            "flow": self.flow_term(path.weighted(flow), path.masks, latents, noise),
            **self.content_terms(targets, path, latents, noise),
            **self.further_terms(path, asked.prediction, latents, noise),
        }

    @torch.no_grad()
    def show(
        self,
        path: Path,
        prediction: Tensor,
        targets: ContentTargets | None,
        latents: LatentBatch,
        noise: Noise,
    ) -> None:
        """Let a schedule that watches the training see what was lost; rows without history aside.

        Args:
            path: whose points the objective asked about.
            prediction: what the network said there.
            targets: what the readout lost.
            latents: the batch.
            noise: of the step.
        """
        if not (self.schedule.watches and self.training):
            return
        clean = self.denoiser.clean(prediction, path.point(), path.times)
        counted = path.masks.counted & ~path.masks.blind[:, None, None]
        if path.weights is not None:  # positions at rest tell nothing of their times
            counted = counted & (path.weights > 0)
        times = over_channels(path.times, clean)[..., 0].expand_as(counted)
        content = None
        if self.schedule.needs_content:
            told = ContentTargets.repeated(self.blocks(content_of(latents)), self.config.noisings)
            content = told.content
        seen = Seen(
            times=times,
            counted=counted,
            error=(clean - path.data).square().mean(-1),
            weight=self.error_weight(times),
            clean=clean,
            nats=None if targets is None or not targets.losses else targets.mean(),
            content=content,
        )
        self.schedule.observe(seen, noise)

    def stepped(self, index: int) -> None:
        """The schedule may follow what it saw."""
        self.schedule.stepped(index)

    def error_weight(self, times: Tensor) -> Tensor:
        """What the loss weighs squared errors of clean latents with, at times of any shape.

        Here, as one of velocities does.
        """
        return times.clamp(min=SMALLEST_TIME) ** -2

    def further_terms(
        self, path: Path, prediction: Tensor, latents: LatentBatch, noise: Noise
    ) -> Losses:
        """What flow matching learns beside its objective and content; here, nothing.

        Args:
            path: whose points the objective asked about.
            prediction: what the network said there.
            latents: the batch.
            noise: of the step.
        """
        del path, prediction, latents, noise
        return {}

    def objective(self, path: Path, predict: Predict) -> Tensor:
        """The loss of every position, (samples · batch, blocks, block); here, flow matching.

        Args:
            path: points between data and noise.
            predict: the network's prediction there, given the batch's history.
        """
        predicted = predict(path.point(), path.times[..., None])
        if self.denoiser.prediction == "x0":
            return (predicted - path.data).square().mean(-1)
        return self.weighed(predicted - path.velocity(), path.times).square().mean(-1)

    def weighed(self, error: Tensor, times: Tensor) -> Tensor:
        """An error of velocities; of a readout's, less near the data, where it is divided by t.

        Args:
            error: (samples · batch, blocks, block, dim).
            times: (samples · batch, blocks).
        """
        if self.denoiser.readout is None:
            return error
        return error * over_channels(times / times.clamp(min=SMALLEST_TIME), error)

    def draw_path(self, latents: LatentBatch, noise: Noise, samples: int) -> Path:
        """Draw noise, times, pinned prefixes and blind rows of a batch, `samples` times."""
        data, mask = self.blocks(latents.values), self.blocks(latents.mask)
        eps = noise.normal("flow noise", (len(data), samples, *data.shape[1:]), data)
        return Path(
            data=data.repeat(samples, 1, 1, 1),
            noise=self.coupling.pair_all(data, eps.transpose(0, 1), mask, noise).flatten(0, 1),
            times=draw_times(self.schedule, noise, samples, data),
            masks=draw_masks(self.config, noise, samples, data, mask),
        )

    def draw_condition(self, past: Any, path: Path, noise: Noise, batch: int) -> Tensor | None:
        """What is added to the path's lifted points in training, if anything; here, nothing."""
        del past, path, noise, batch
        return None

    def blocks(self, values: Tensor) -> Tensor:
        """(batch, segments, ...) -> (batch, blocks, block, ...)."""
        blocks: Tensor = values.unflatten(1, (-1, self.block_size))
        return blocks

    def history(self, latents: LatentBatch) -> Tensor:
        """(batch, blocks, block, any) what it reads of the past: clean latents or their content.

        Latents carry no gradient to the encoder there, as in Cola DLM, section 2.2.3.
        """
        if self.denoiser.reader is None:
            return self.blocks(latents.values.detach())
        return self.blocks(content_of(latents))

    def content_targets(self, latents: LatentBatch, samples: int) -> ContentTargets | None:
        """What a readout is to learn of a batch, repeated for each noising; None without."""
        if self.denoiser.readout is None:
            return None
        return ContentTargets.repeated(self.blocks(content_of(latents)), samples)

    def content_terms(
        self,
        targets: ContentTargets | None,
        path: Path,
        latents: LatentBatch,
        noise: Noise,
        learned: Tensor | None = None,
        share: float = 1.0,
    ) -> Losses:
        """Term "content": what a readout said of the data, in nats per latent; none without.

        And "drawn", where it is asked for: the error of the latents that the data's text has as a
        drawn estimate.

        Args:
            targets: after the calls that they stood in.
            path: whose points the readout was asked about.
            latents: the batch.
            noise: drew the path.
            learned: (samples · batch, 1 or blocks) bool, where the data is what was asked for; all.
            share: expected share of these.
        """
        head = self.denoiser.readout
        if head is None or targets is None or not targets.losses or not share:
            return {}
        nats = targets.mean()
        nats = path.weighted(nats * over_positions(head.gate(path.times), nats))
        terms = {"content": (nats, head.weight)}
        if head.draw_weight:
            error = head.draw_error(targets.content, path.data.detach())
            terms["drawn"] = (error, head.draw_weight)
        found = {}
        for name, (values, weight) in terms.items():
            if learned is not None:
                values = torch.where(learned[..., None], values, 0.0) / share
            found[name] = self.flow_term(values, path.masks, latents, noise, weight)
        return found

    def flow_term(
        self,
        per_position: Tensor,
        masks: Masks,
        latents: LatentBatch,
        noise: Noise,
        weight: float = 1.0,
    ) -> LossTerm:
        """A loss over all counted positions of all noisings; `noise` drew the masks."""
        total = torch.where(masks.counted, per_position, 0.0).sum()
        share = len(masks.counted) / len(latents.values) * self.free_share(noise)
        return LossTerm(total / share, "latents", weight)

    def free_share(self, noise: Noise) -> float:
        """Expected share of positions that are not pinned in this step, known beforehand."""
        # Of a pinned block, 0 to block - 1 positions do not count.
        return 1.0 - noise.in_some_steps(self.config.pinned_blocks) * (self.block_size - 1) / (
            2 * self.block_size
        )

    def training_flops(self, batch: int, segments: int) -> int:
        """Model FLOPs of one training step; by default, of flow matching."""
        return self.matching_flops(batch, segments)

    def matching_flops(self, batch: int, segments: int) -> int:
        """Model FLOPs of one step of flow matching."""
        blocks, n = segments // self.block_size, self.config.noisings
        network = self.network.flops(batch, blocks, self.block_size, n, self.times_of(segments))
        latents = batch * segments
        ends = self.denoiser.past_flops(latents) + n * self.denoiser.end_flops(latents)
        taught = n * self.denoiser.content_flops(batch, segments)
        return 3 * (network + ends) + taught + self.schedule.flops(n * batch, segments)

    def times_of(self, segments: int) -> int | None:
        """Distinct times of a noising of so many latents; None is one a block."""
        del segments
        return None

    def forward_flops(self, batch: int, segments: int, times: int | None = None) -> tuple[int, int]:
        """See `Denoiser.forward_flops`, of documents of so many latents."""
        blocks = segments // self.block_size
        times = self.times_of(segments) if times is None else times
        return self.denoiser.forward_flops(batch, blocks, self.block_size, times)

    @torch.no_grad()
    def content_nats(self, latents: LatentBatch, noise: Tensor) -> Tensor | None:
        """By its readout at t = 1; see `Prior.content_nats`."""
        head = self.denoiser.readout
        if head is None:
            return None
        content, points = self.blocks(content_of(latents)), self.blocks(noise)
        past, heard = self.denoiser.past(self.history(latents)), SaidRecorder()
        masks = Masks.free(self.blocks(latents.mask))
        predict = self.denoiser.predictor(past, masks, call=heard)
        predict(points, points.new_ones(1, 1, self.n_times))
        return head.content_nats(heard.said, content).flatten(1, 2)

    @torch.no_grad()
    def one_step(self, latents: LatentBatch, noise: Noise) -> Tensor | None:
        """The clean latents that one call means, at times by the sampled law.

        Of a readout that gives its ends apart, these. See `Prior.one_step`.
        """
        path = self.draw_path(latents, noise, 1)
        path = replace(path, masks=Masks.given(self.blocks(latents.mask)))
        if self.sampled_law is not self.schedule:
            path = replace(path, times=draw_times(self.sampled_law, noise, 1, path.data))
        past, heard = self.denoiser.past(self.history(latents)), SaidRecorder()
        points, times = path.point(), path.times
        predict = self.denoiser.predictor(past, path.masks, call=heard)
        prediction = predict(points, nn.functional.pad(times[..., None], (0, self.n_times - 1)))
        clean = self.denoiser.clean(prediction, points, times)
        if self.ends_apart and isinstance(self.head, EndingReadout):
            clean = self.head.end(heard.said).to(points.dtype)
        return path.pin(clean).flatten(1, 2)

    def one_step_flops(self, batch: int, segments: int) -> int:
        """Of the history's pass, and of one of one noising."""
        blocks, latents = segments // self.block_size, batch * segments
        times = self.times_of(segments)
        network = self.network.flops(batch, blocks, self.block_size, 1, times)
        return network + self.denoiser.past_flops(latents) + self.denoiser.end_flops(latents)

    @torch.no_grad()
    def loss_by_noise(
        self, latents: LatentBatch, logit_times: Sequence[float], noise: Noise
    ) -> Sequence[NoiseLevel]:
        """See `Prior.loss_by_noise`; one noising at each level, the same noise at all."""
        path = self.draw_path(latents, noise, 1)
        path = replace(path, masks=Masks.free(path.masks.counted))
        past = self.denoiser.past(self.history(latents))
        levels = []
        for logit in logit_times:
            errors, contents = [], []
            for times in self.level_times(path, 1 / (1 + math.exp(-logit))):
                points, targets = path.point(times), self.content_targets(latents, 1)
                predict = self.denoiser.predictor(past, path.masks, call=targets)
                padded = nn.functional.pad(times[..., None], (0, self.n_times - 1))
                clean = self.denoiser.clean(predict(points, padded), points, times)
                errors.append((clean - path.data).square().mean(-1))
                contents += [] if targets is None else [targets.mean()]
            nats = _each_its_own(contents).flatten(1) if contents else None
            levels.append(NoiseLevel(logit, _each_its_own(errors).flatten(1), nats))
        return levels

    def level_times(self, path: Path, time: float) -> Sequence[Tensor]:
        """Where errors at a time are looked at: one for all; else, for each position in turn."""
        return [torch.full_like(path.times, time)]


def _each_its_own(found: Sequence[Tensor]) -> Tensor:
    """(..., block): of values of one call, all; of a call a position, each position's own."""
    if len(found) == 1:
        return found[0]
    return torch.stack([each[..., place] for place, each in enumerate(found)], -1)
