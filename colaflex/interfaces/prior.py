"""Prior: learns the distribution of the latents and samples it block by block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from colaflex.interfaces.losses import Losses
from colaflex.interfaces.noise import Noise, SampleNoise
from colaflex.interfaces.one_line import one_line
from colaflex.interfaces.options import SamplingOptions
from colaflex.interfaces.readout import Readout
from colaflex.interfaces.values import LatentBatch

__all__ = ["Known", "NoiseLevel", "Prior", "PriorPhase"]


@dataclass(frozen=True, slots=True)
class Known:
    """Positions of a block that are given (the tail of a prompt), pinned clean at every step.

    Attributes:
        values: (rows, block, dim), arbitrary where not given.
        mask: (rows, block) bool.

    Example:
        >>> prompt = torch.zeros(1, 4, 8)  # two latents of a block of four, and room for two
        >>> Known(prompt, torch.tensor([[True, True, False, False]]))
        Known(values (1, 4, 8), mask (1, 4))
    """

    values: Tensor
    mask: Tensor

    __repr__ = one_line


@dataclass(frozen=True, slots=True)
class NoiseLevel:
    """What a prior on paths loses at one time t of these.

    Attributes:
        logit_time: logit t; t = 1 is noise.
        error: (batch, segments) squared error of the clean latents, mean over channels.
        content: (batch, segments) nats of what they stand for, by a readout; None without one.

    Example:
        >>> from colaflex.interfaces.noise import Noise
        >>> from colaflex.interfaces.values import LatentBatch
        >>> prior = colaflex.build("prior", "flow_matching", latent_dim=8, block_size=4)
        >>> latents = LatentBatch(torch.zeros(2, 8, 8), torch.ones(2, 8, dtype=torch.bool))
        >>> prior.loss_by_noise(latents, [-2.0, 2.0], Noise(seed=0))[0]
        NoiseLevel(logit_time -2.0, error (2, 8))
    """

    logit_time: float
    error: Tensor
    content: Tensor | None = None

    __repr__ = one_line


@dataclass(frozen=True)
class PriorPhase:
    """A part of a prior's training: by default all of it, on the prior's own losses.

    A prior that learns in several ways, one after the other, has a subclass for each.

    Attributes:
        prior: what learns.
        name: e.g. "teacher".
        share: of the prior's budget.
        lr_ratio: factor on the prior's learning rate.
        representation_rests: whether the latents must stay what they are, as a frozen teacher,
            which has learned these, needs them.

    Example:
        >>> prior = colaflex.build("prior", "rectified_flow", latent_dim=8)
        >>> [(phase.name, phase.share) for phase in prior.phases(teacher_fraction=0.25)]
        [('teacher', 0.25), ('prior', 0.75)]
    """

    prior: Prior
    name: str = "prior"
    share: float = 1.0
    lr_ratio: float = 1.0
    representation_rests: bool = False

    @property
    def parameters(self) -> Sequence[nn.Parameter]:
        """What learns: all that is not frozen."""
        return [p for p in self.prior.parameters() if p.requires_grad]

    def losses(self, latents: LatentBatch, noise: Noise) -> Losses:
        """The training losses of a batch of latents."""
        return self.prior.losses(latents, noise)

    def flops(self, batch: int, segments: int) -> int:
        """Model FLOPs of one training step, backward included."""
        return self.prior.training_flops(batch, segments)

    def start(self) -> None:
        """Called once before the first step of the phase, not when it is resumed."""

    def stepped(self, index: int) -> None:
        """Called behind each step, counted from 0; the prior may follow its own weights."""
        self.prior.stepped(index)

    __repr__ = one_line


class Prior(nn.Module, ABC):
    """p(z) over sequences of normalised latents, factorised over blocks.

    Attributes:
        latent_dim: channels of one latent.
        block_size: latents of one block.

    Example:
        >>> from colaflex.interfaces.values import LatentBatch
        >>> prior = colaflex.build("prior", "flow_matching", latent_dim=8, block_size=4)
        >>> latents = LatentBatch(torch.zeros(2, 8, 8), torch.ones(2, 8, dtype=torch.bool))
        >>> list(prior.losses(latents))
        ['flow']
        >>> prior.sample(rows=3, blocks=2).shape
        torch.Size([3, 8, 8])
    """

    latent_dim: int
    block_size: int

    @property
    def state_width(self) -> int:
        """Channels of the states that a readout reads; 0 where none can be taken."""
        return 0

    @property
    def needs_content(self) -> bool:
        """Whether it asks what latents stand for: to learn a readout, or to read its history.

        Then `commit_told` is called in place of `commit`.
        """
        return False

    def take(self, readout: Readout | None, history: nn.Module | None) -> None:
        """Use what the representation offers, before anything is learned.

        Args:
            readout: in place of its own way from states to latents; None keeps that.
            history: in place of its own way to read clean latents; None keeps that.

        Raises:
            ValueError: this prior takes neither.
        """
        if readout is not None or history is not None:
            raise ValueError(f"{type(self).__name__} takes no readout and no reading of history")

    @abstractmethod
    def losses(self, latents: LatentBatch, noise: Noise | None = None) -> Losses:
        """The training losses of a batch whose length is a multiple of the block."""

    def phases(self, teacher_fraction: float = 0.5) -> Sequence[PriorPhase]:
        """The phases of training; by default one, named "prior".

        Args:
            teacher_fraction: share of the budget for a teacher, where the prior trains its own.
        """
        del teacher_fraction
        return [PriorPhase(self)]

    @abstractmethod
    def training_flops(self, batch: int, segments: int) -> int:
        """Model FLOPs of one training step: forward, and backward as twice the forward."""

    @abstractmethod
    def begin(self, rows: int) -> Any:
        """A prefix state with no latents, for `rows` rows."""

    @abstractmethod
    def commit(self, state: Any, latents: Tensor, counts: Tensor | None = None) -> Any:
        """Append clean latents to the prefix.

        Args:
            state: the prefix so far (not to be used again).
            latents: (rows, blocks · block, dim).
            counts: (rows,) latents that count in each row, multiples of the block; all by default.
        """

    def commit_told(
        self, state: Any, latents: Tensor, content: Tensor, counts: Tensor | None = None
    ) -> Any:
        """As `commit`, with what the latents stand for, (rows, blocks · block, any)."""
        del content
        return self.commit(state, latents, counts)

    @abstractmethod
    def select(self, state: Any, rows: Tensor) -> Any:
        """The prefix of some of the rows."""

    @abstractmethod
    def sample_block(
        self, state: Any, noise: SampleNoise, options: SamplingOptions, known: Known | None = None
    ) -> Tensor:
        """(rows, block, dim): a sample of each row's next block given its prefix."""

    @abstractmethod
    def network_evaluations(self, options: SamplingOptions) -> int | None:
        """Network evaluations per block: guidance branches and solver stages included.

        None where that is not known beforehand (adaptive solvers).
        """

    def stepped(self, index: int) -> None:
        """Called behind each step of training, counted from 0 in each phase; here, nothing is done.

        Where processes share the weights out, these are sharded.
        """
        del index

    def adopt_teacher(self, teacher: Prior) -> None:
        """Learn from a trained prior instead of training a teacher first.

        Raises:
            ValueError: this prior has no teacher, or not one like this.
        """
        raise ValueError(f"{type(self).__name__} learns from no teacher")

    def log_prob(self, latents: LatentBatch) -> Tensor:
        """(batch,) log density in nats, where the prior declares a likelihood."""
        raise NotImplementedError(f"{type(self).__name__} declares no likelihood")

    def content_nats(self, latents: LatentBatch, noise: Tensor) -> Tensor | None:
        """(batch, segments, any) nats of what latents stand for, were it drawn from noise alone.

        Each block's is drawn behind the clean blocks before it, in one step, by a readout.

        Args:
            latents: with their content.
            noise: (batch, segments, dim), standard normal, that the step begins with.

        Returns:
            -log p of each part of the content, given the parts before it; None, as here, where no
            readout draws any.
        """
        del latents, noise
        return None

    def one_step(self, latents: LatentBatch, noise: Noise) -> Tensor | None:
        """(batch, segments, dim): latents as it expects them from noise, where that is declared.

        Each block's from one look at a noisy block of the step's own drawing, as training draws
        them, behind the clean blocks before it; without gradient. Latents outside the mask that
        stand before others of their block are given, and stay as they are. None, as here, where
        a prior has no such look.
        """
        del latents, noise
        return None

    def one_step_flops(self, batch: int, segments: int) -> int:
        """Model FLOPs of `one_step`; none by default."""
        del batch, segments
        return 0

    def density_change(self, latents: LatentBatch) -> Tensor | None:
        """(batch,) nats that `log_prob` gains on an integration twice as fine; None without one.

        It tells the error of the integration.
        """
        del latents
        return None

    def loss_by_noise(
        self, latents: LatentBatch, logit_times: Sequence[float], noise: Noise
    ) -> Sequence[NoiseLevel]:
        """Its losses at given noise levels, behind the clean history; none by default."""
        del latents, logit_times, noise
        return ()

    @torch.no_grad()
    def sample(
        self, rows: int, blocks: int, options: SamplingOptions | None = None, seed: int = 0
    ) -> Tensor:
        """(rows, blocks · block, dim): sequences sampled from an empty prefix."""
        options = options or SamplingOptions()
        state, drawn = self.begin(rows), []
        for block in range(blocks):
            noise = SampleNoise(tuple(f"{seed}/{row}/{block}" for row in range(rows)))
            drawn.append(self.sample_block(state, noise, options))
            state = self.commit(state, drawn[-1])
        return torch.cat(drawn, 1)
