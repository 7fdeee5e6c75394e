"""Base of the priors that sample blocks by a denoiser; how they learn, `PathPrior` says."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from colaflex.interfaces.component import Builder
from colaflex.interfaces.network import Network
from colaflex.interfaces.noise import SampleNoise
from colaflex.interfaces.options import GuidanceCourse, SamplingOptions
from colaflex.interfaces.prior import Known, Prior
from colaflex.interfaces.readout import EndingReadout
from colaflex.interfaces.solver import VelocityField
from colaflex.priors.block_sampling import (
    BlockSampler,
    Draw,
    LastCall,
    PinnedNoise,
    Prefix,
    estimated,
    grid_times,
    renoised,
)
from colaflex.priors.denoiser import Denoiser, LatentLift
from colaflex.priors.flow_config import PathPriorConfig
from colaflex.priors.position_sampling import descended_apart

__all__ = ["DenoisingPrior"]


class DenoisingPrior(Prior):
    """Block-causal prior that goes from noise to data by the predictions of a denoiser.

    Attributes:
        denoiser: what learns. Its parts are the prior's own modules, `network`, `lift`, `head`
            and so on: by these names checkpoints and optimizers know their weights.

    Example:
        >>> from colaflex.interfaces.options import SamplingOptions
        >>> prior = colaflex.build("prior", "consistency", latent_dim=8, block_size=4)
        >>> isinstance(prior, DenoisingPrior), prior.network_evaluations(SamplingOptions(steps=2))
        (True, 2)
    """

    n_times: ClassVar[int] = 1
    learns_ends: ClassVar[bool] = True
    """Whether its readout learns the text wherever a sampler's last step may ask for an end."""

    denoiser: Denoiser
    network: Network
    lift: LatentLift
    head: nn.Module

    def __init__(self, config: PathPriorConfig, *, latent_dim: int, build: Builder) -> None:
        super().__init__()
        self.config, self.latent_dim, self.block_size = config, latent_dim, config.block_size
        network: Network = build(config.network, n_times=self.n_times)
        denoiser = Denoiser(network, latent_dim, self.prediction, self.time_scale)
        object.__setattr__(self, "denoiser", denoiser)  # not registered: its parts are
        self.register_parts()

    @property
    def prediction(self) -> Literal["velocity", "x0"]:
        """What the network predicts; see `Denoiser`."""
        return "velocity"

    @property
    def time_scale(self) -> float:
        """Factor on the times that the network sees."""
        return 1.0

    def register_parts(self) -> None:
        """Make the denoiser's parts modules of the prior; to be called when one is put in."""
        for name, part in self.denoiser.named_children():
            self.add_module(name, part)

    # Sampling.

    def begin(self, rows: int) -> Prefix:
        """An empty prefix."""
        weight = self.lift.weight
        lengths = torch.zeros(rows, dtype=torch.int64, device=weight.device)
        return Prefix(self.network.begin(rows, weight), lengths)

    def commit(self, state: Prefix, latents: Tensor, counts: Tensor | None = None) -> Prefix:
        """Append clean latents to the prefix."""
        if self.denoiser.reader is not None:
            raise ValueError("this prior reads its history by what latents stand for: commit_told")
        return self._committed(state, latents, counts)

    def commit_told(
        self, state: Prefix, latents: Tensor, content: Tensor, counts: Tensor | None = None
    ) -> Prefix:
        """Append clean latents, or what they stand for, to the prefix."""
        return self._committed(state, latents if self.denoiser.reader is None else content, counts)

    def _committed(self, state: Prefix, history: Tensor, counts: Tensor | None) -> Prefix:
        blocks = self.denoiser.read(history.unflatten(1, (-1, self.block_size)))
        added = history.shape[1] if counts is None else counts
        return Prefix(self.network.commit(blocks, state.history, counts), state.lengths + added)

    def select(self, state: Prefix, rows: Tensor) -> Prefix:
        """The prefix of some of the rows."""
        return Prefix(state.history.select(rows), state.lengths[rows])

    def sample_block(
        self,
        state: Prefix,
        noise: SampleNoise,
        options: SamplingOptions,
        known: Known | None = None,
    ) -> Tensor:
        """Descend from noise to data along the guided field; see `Prior.sample_block`."""
        return self.descended(state, noise, options, known)

    def descended(
        self,
        state: Prefix,
        noise: SampleNoise,
        options: SamplingOptions,
        known: Known | None,
        condition: Tensor | None = None,
    ) -> Tensor:
        """The same where something is added to the lifted points; see `field`."""
        shape = (self.block_size, self.latent_dim)
        draw = PinnedNoise(noise, shape, self.lift.weight, known, options.noise_temperature)
        pinned = None if known is None else known.mask
        sampler = BlockSampler(self.denoiser, state, options.course, pinned, condition)
        field = LastCall(self.field(state, options.course, pinned, condition))
        if (apart := self.position_times(options, known)) is not None:
            drawn, ends = None, [then == 0 for then in apart[1:]]
            if options.estimate == "draw":
                ending = ends.__getitem__ if options.end == "mean" else None
                drawn = sampler.estimates(noise, options.estimate_temperature, ending)
            estimate = estimated(field, drawn, options.steps)
            points = descended_apart(estimate, draw, apart, options.renoise)
        elif options.along_the_flow:
            points = self.descend(field, draw, options.steps)
        else:
            times, drawn = self.grid_times(options), None
            if options.estimate == "draw":
                drawn = sampler.estimates(noise, options.estimate_temperature)
            draws = options.steps - (options.end == "mean")
            estimate = estimated(field, drawn, draws)
            points = renoised(estimate, draw, times, options.renoise)
        if self.ends_apart:
            points = sampler.end(self.end_time(field.time), field.points)
        return draw.pin(points)

    @abstractmethod
    def descend(self, field: VelocityField, draw: Draw, steps: int) -> Tensor:
        """From noise to data.

        Args:
            field: (time, points) -> velocity, 0 at pinned positions; see `field`.
            draw: the noise to begin with, draw(0), and further noise.
            steps: intervals of [0, 1].
        """

    def field(
        self,
        state: Prefix,
        guidance: float | GuidanceCourse = 1.0,
        pinned: Tensor | None = None,
        condition: Tensor | None = None,
    ) -> VelocityField:
        """The (guided) velocity field of the next block given a prefix; see `BlockSampler`."""
        return BlockSampler(self.denoiser, state, guidance, pinned, condition).field()

    @property
    def ends_apart(self) -> bool:
        """Whether the readout is asked once more, for the end of a sample."""
        return self.learns_ends and isinstance(self.head, EndingReadout)

    def end_time(self, time: Tensor) -> Tensor:
        """Where a readout is asked for an end, if the field was asked last at this time."""
        return time

    def grid_times(self, options: SamplingOptions) -> list[float]:
        """The times of the steps that estimates make, from 1 to 0."""
        return grid_times(options.grid, options.steps, self.quantile)

    @property
    def quantile(self) -> Callable[[Tensor], Tensor] | None:
        """Of the law of its training times, of float64 shares; None of a prior without one."""
        return None

    def position_times(self, options: SamplingOptions, known: Known | None) -> list[Tensor] | None:
        """Where positions of a block are at times of their own, those of every step; here, None.

        Args:
            options: whose steps.
            known: positions that are given.

        Returns:
            (rows or 1, block, 1), from the noise to the data, steps + 1 times.
        """
        del options, known
        return None

    def asked_times(self, options: SamplingOptions) -> Sequence[float] | None:
        """The times at which a block's field is asked, in order; None where none knows them.

        Here, one a step.
        """
        return self.grid_times(options)[:-1]

    def network_evaluations(self, options: SamplingOptions) -> int | None:
        """Network evaluations per block: one a step and for an end, times guidance branches."""
        times = self.asked_times(options)
        if times is None:
            return None
        asked = [*times, *times[-1:]] if self.ends_apart else times
        return sum(map(options.course.branches, asked))
